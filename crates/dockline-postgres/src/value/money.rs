//! Amounts of money, which the server sends as a count of the smallest coin.

use dockline_core::{Other, Value};

/// How the server writes amounts: a matter of its setting `lc_monetary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Money {
    /// How many digits stand behind the point.
    digits: usize,
    /// As in the United States, and in the locale C: `-$1,234.50`.
    dollars: bool,
}

impl Money {
    /// What is asked of the server, in a word that it writes for people.
    pub(crate) const QUESTION: &'static str = "SELECT 1::numeric::money";

    /// Reads its answer: `$1.00`, `1,00 €`, `￥1`.
    pub(crate) fn of(sample: &str) -> Self {
        let behind = sample.split_once('1').map_or("", |(_, behind)| behind);
        Self { digits: behind.chars().filter(char::is_ascii_digit).count(), dollars: sample == "$1.00" }
    }

    /// An amount: as the server writes it in dollars, and else its digits without the sign of the currency.
    pub(super) fn value(self, coins: i64) -> Value {
        let digits = format!("{:0width$}", coins.unsigned_abs(), width = self.digits + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.digits);
        let sign = if coins < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        let text = if self.dollars {
            format!("{sign}${}{point}{fraction}", grouped(whole))
        } else {
            format!("{sign}{whole}{point}{fraction}")
        };
        Value::Other(Box::new(Other::new("money", text)))
    }
}

/// With a comma before every third digit from the right.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sample: &str, coins: i64) -> String {
        Money::of(sample).value(coins).text().unwrap().into_owned()
    }

    #[test]
    fn an_amount_has_the_digits_of_its_currency() {
        assert_eq!(text("$1.00", 123_456_789), "$1,234,567.89");
        assert_eq!(text("$1.00", -5), "-$0.05");
        assert_eq!(text("$1.00", i64::MIN), "-$92,233,720,368,547,758.08");
        assert_eq!(text("1,00 €", -123_456), "-1234.56");
        assert_eq!(text("￥1", 123), "123");
    }
}
