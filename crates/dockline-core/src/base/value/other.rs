//! Values of types that have no variant of their own.

/// A value of a type that has no variant of [`Value`](crate::Value): the name of its type, and its text.
///
/// It is read as a `String`, and as what its text can be read as. A value of which the text is not known either, such as one
/// of an extension's type, can be read as nothing; the error names the column and the type.
///
/// ```
/// use dockline::{FromValue, Other, Value};
///
/// let range = Value::Other(Box::new(Other::new("int4range", "[1,5)")));
/// assert_eq!(String::from_value(range)?, "[1,5)"); // its text can be read
/// # Ok::<_, dockline::ValueError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    type_name: String,
    text: Option<String>,
    is_number: bool,
}

impl Other {
    /// Makes one from the name of its type and its text.
    ///
    /// ```
    /// use dockline::Other;
    ///
    /// let range = Other::new("int4range", "[1,5)");
    /// assert_eq!(range.text(), Some("[1,5)"));
    /// ```
    pub fn new(type_name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), text: Some(text.into()), is_number: false }
    }

    /// Makes one that is an exact number: it can be read as an integer if it is whole, and as the nearest `f64`.
    ///
    /// ```
    /// use dockline::{FromValue, Other, Value};
    ///
    /// let sum = Value::Other(Box::new(Other::number("numeric", "42")));
    /// assert_eq!(i64::from_value(sum)?, 42);
    /// # Ok::<_, dockline::ValueError>(())
    /// ```
    pub fn number(type_name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { is_number: true, ..Self::new(type_name, text) }
    }

    /// Makes one whose text is not known.
    ///
    /// ```
    /// use dockline::Other;
    ///
    /// assert_eq!(Other::opaque("tsvector").text(), None);
    /// ```
    pub fn opaque(type_name: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), text: None, is_number: false }
    }

    /// The name of the type, as the database says it.
    ///
    /// ```
    /// use dockline::Other;
    ///
    /// assert_eq!(Other::new("money", "$1.00").type_name(), "money");
    /// ```
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The text; `None` if it is not known.
    ///
    /// ```
    /// use dockline::Other;
    ///
    /// assert_eq!(Other::new("money", "$1.00").text(), Some("$1.00"));
    /// ```
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The text, out of it.
    ///
    /// ```
    /// use dockline::Other;
    ///
    /// assert_eq!(Other::new("money", "$1.00").into_text().as_deref(), Some("$1.00"));
    /// ```
    pub fn into_text(self) -> Option<String> {
        self.text
    }

    /// Whether it is an exact number.
    ///
    /// ```
    /// use dockline::Other;
    ///
    /// assert!(Other::number("numeric", "42").is_number());
    /// ```
    pub fn is_number(&self) -> bool {
        self.is_number
    }

    /// The digits of an exact number.
    pub(crate) fn digits(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.is_number)
    }
}
