//! Lines in a drawing (SVG), without a library: a title, two axes, a legend.

use std::fmt::Write as _;

pub(crate) struct Plot {
    pub(crate) title: String,
    x: Axis,
    y: Axis,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// What an axis says, and whether equal steps on it are equal factors.
pub(crate) struct Axis {
    pub(crate) title: &'static str,
    pub(crate) logarithmic: bool,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Told apart by people who see no red or no green, too.
const COLOURS: [&str; 10] =
    ["#000000", "#0072b2", "#d55e00", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#999999", "#7a5195", "#8c564b"];

impl Plot {
    pub(crate) fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, lines: Vec::new() }
    }

    pub(crate) fn line(&mut self, name: impl Into<String>, points: Vec<(f64, f64)>) {
        self.lines.push((name.into(), points.into_iter().filter(|(_, y)| y.is_finite()).collect()));
    }

    pub(crate) fn draw(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter().copied());
        let x = Scale::new(points().map(|(x, _)| x), &self.x, LEFT, WIDTH - RIGHT);
        let y = Scale::new(points().map(|(_, y)| y), &self.y, HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"24\" \
             font-size=\"15\">{}</text>\n",
            escape(&self.title)
        );
        self.draw_axes(&mut svg, &x, &y);
        for (at, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let places: Vec<String> =
                points.iter().map(|point| format!("{:.1},{:.1}", x.place(point.0), y.place(point.1))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                places.join(" ")
            );
            for point in points {
                let (at_x, at_y) = (x.place(point.0), y.place(point.1));
                let _ = writeln!(svg, "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            }
            let (key, down) = (WIDTH - RIGHT + 16.0, TOP + 18.0 * at as f64);
            let _ = writeln!(
                svg,
                "<rect x=\"{key}\" y=\"{down}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" \
                 y=\"{}\">{}</text>",
                key + 18.0,
                down + 10.0,
                escape(name)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axes(&self, svg: &mut String, x: &Scale, y: &Scale) {
        let (bottom, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for mark in y.marks() {
            let at = y.place(mark);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/><text x=\"{}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                short(mark)
            );
        }
        let mut seen: Vec<f64> = self.lines.iter().flat_map(|(_, points)| points.iter().map(|(x, _)| *x)).collect();
        seen.sort_by(f64::total_cmp);
        seen.dedup();
        for mark in seen {
            let at = x.place(mark);
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#000000\"/><text x=\"{at:.1}\" \
                 y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 4.0,
                bottom + 18.0,
                short(mark)
            );
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{LEFT},{TOP} {LEFT},{bottom} {end},{bottom}\" fill=\"none\" stroke=\"#000000\"/><text \
             x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text><text x=\"16\" y=\"{}\" text-anchor=\"middle\" \
             transform=\"rotate(-90 16 {})\">{}</text>",
            f64::midpoint(LEFT, end),
            HEIGHT - 12.0,
            escape(self.x.title),
            f64::midpoint(TOP, bottom),
            f64::midpoint(TOP, bottom),
            escape(self.y.title)
        );
    }
}

/// Where a figure stands between two ends of an axis.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(figures: impl Iterator<Item = f64>, axis: &Axis, from: f64, to: f64) -> Self {
        let (low, high) =
            figures.fold((f64::INFINITY, 0.0_f64), |(low, high), figure| (low.min(figure), high.max(figure)));
        let (mut low, mut high) = if low > high { (0.0, 1.0) } else { (low, high) };
        if axis.logarithmic {
            low = low.max(1e-9);
            high = high.max(low * 1.01);
        } else {
            (low, high) = (0.0, if high > 0.0 { high * 1.05 } else { 1.0 });
        }
        Self { low, high, logarithmic: axis.logarithmic, from, to }
    }

    fn place(&self, figure: f64) -> f64 {
        let share = if self.logarithmic {
            (figure.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (figure - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round figures within it: powers of ten, or some five steps.
    fn marks(&self) -> Vec<f64> {
        if self.logarithmic {
            let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let within = |mark: &f64| *mark >= self.low && *mark <= self.high;
            let tens: Vec<f64> = (first..=last).map(|power| 10_f64.powi(power)).filter(within).collect();
            return if tens.len() > 1 { tens } else { vec![self.low, self.high] };
        }
        let rough = self.high / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(rough);
        (0..).map(|n| f64::from(n) * step).take_while(|mark| *mark <= self.high).collect()
    }
}

/// A figure in few characters.
fn short(figure: f64) -> String {
    match figure {
        _ if figure >= 1e6 => format!("{}M", short(figure / 1e6)),
        _ if figure >= 1e4 => format!("{}k", short(figure / 1e3)),
        _ if figure >= 100.0 || figure.fract() == 0.0 => format!("{figure:.0}"),
        _ if figure >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_each_line_and_its_name() {
        let axis = |title| Axis { title, logarithmic: title == "x" };
        let mut plot = Plot::new("a < b", axis("x"), axis("y"));
        plot.line("first", vec![(1.0, 2.0), (10.0, 3.0)]);
        plot.line("second", vec![(1.0, f64::NAN), (10.0, 4.0)]);
        let svg = plot.draw();
        assert!(svg.contains("a &lt; b") && svg.contains(">first<") && svg.contains(">second<"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
