//! The curves as a picture.

use std::fmt::{Result, Write as _};

use dockline::ServerInfo;

use crate::curve::Curve;
use crate::story::{Outcome, Stage};

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 575.0;

/// The classes of the stories' colours, and the dashes that tell them apart without.
const LINES: [(&str, &str); 4] = [("a", "none"), ("b", "none"), ("c", "7 3"), ("d", "2 3")];

/// Light or dark, as the reader's system is.
const STYLE: &str = "
    svg { font: 13px system-ui, sans-serif; }
    .paper { fill: #ffffff; } .ink { fill: #1f2328; } .faint { fill: #59636e; }
    .grid { stroke: #d8dee4; } .axis { stroke: #818b98; } .limit { stroke: #818b98; stroke-dasharray: 6 4; }
    .line { fill: none; stroke-width: 2; stroke-linejoin: round; } .band { stroke: none; opacity: .25; }
    .big { font-size: 17px; font-weight: 600; } .small { font-size: 12px; } .strong { font-weight: 600; }
    line { stroke-width: 1; }
    .a { stroke: #c2410c; } .b { stroke: #0969da; } .c { stroke: #1a7f37; } .d { stroke: #8250df; }
    .af { fill: #c2410c; } .bf { fill: #0969da; } .cf { fill: #1a7f37; } .df { fill: #8250df; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; } .ink { fill: #e6edf3; } .faint { fill: #9198a1; }
      .grid { stroke: #262c36; } .axis { stroke: #656c76; } .limit { stroke: #9198a1; }
      .a { stroke: #ff9b5e; } .b { stroke: #58a6ff; } .c { stroke: #3fb950; } .d { stroke: #bc8cff; }
      .af { fill: #ff9b5e; } .bf { fill: #58a6ff; } .cf { fill: #3fb950; } .df { fill: #bc8cff; }
    }
";

/// Above, all stories together; below, each of those that say when a task is done, enlarged.
pub fn draw(outcomes: &[Outcome], stage: &Stage, info: &ServerInfo) -> std::result::Result<String, std::fmt::Error> {
    let mut svg = String::new();
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-labelledby=\"title\">"
    )?;
    writeln!(svg, "  <title id=\"title\">Open connections of the same jobs, with and without task</title>")?;
    writeln!(svg, "  <style>{STYLE}  </style>")?;
    writeln!(svg, "  <rect class=\"paper\" width=\"100%\" height=\"100%\"/>")?;
    text(&mut svg, 60.0, 30.0, "ink big", "Open connections: the same jobs, with and without task")?;
    let Stage { workers, pools, time, .. } = stage;
    let product = match info.version.split([' ', '-']).next() {
        Some(number) => format!("{} {number}", info.product),
        None => info.product.clone(),
    };
    let subtitle = format!("{product}, {workers} workers a pool, {pools} batches of jobs in each of the four programs");
    text(&mut svg, 60.0, 50.0, "faint", &subtitle)?;
    let footnote = if info.max_connections.is_some() {
        "By the server's own list, which has a session for a moment after its client has closed it."
    } else {
        "By Dockline's signals: an embedded database keeps no list."
    };
    text(&mut svg, 60.0, HEIGHT - 14.0, "faint small", footnote)?;

    let peak = outcomes.iter().map(|outcome| outcome.curve.peak()).max().unwrap_or(0);
    // The limit is shown where the curves are still readable beside it.
    let limit = info.max_connections.filter(|limit| *limit <= peak * 5 / 2);
    let seconds = time.as_secs_f64();
    let main =
        Panel { left: 60.0, top: 96.0, width: 710.0, height: 230.0, seconds, most: limit.unwrap_or(peak).max(1) };
    main.axes(&mut svg, 6)?;
    text(&mut svg, main.left, main.top - 10.0, "faint small", "connections, over the time of each program")?;
    if let Some(limit) = limit {
        main.limit(&mut svg, limit)?;
    }
    for (outcome, (class, dashes)) in outcomes.iter().zip(LINES).rev() {
        main.curve(&mut svg, &outcome.curve, class, dashes)?;
    }
    legend(&mut svg, outcomes)?;

    let (gap, top) = (52.0, 425.0);
    let enlarged = outcomes.iter().zip(LINES).skip(1);
    let most = enlarged.clone().map(|(outcome, _)| outcome.curve.peak()).max().unwrap_or(0).max(*workers) + 1;
    let width = (main.width - 2.0 * gap) / 3.0;
    for (at, (outcome, (class, _))) in enlarged.enumerate() {
        let left = main.left + at as f64 * (width + gap);
        let panel = Panel { left, top, width, height: 90.0, seconds, most };
        panel.axes(&mut svg, 2)?;
        text(&mut svg, left, top - 26.0, &format!("{class}f strong"), outcome.story.title())?;
        let opened = format!("at most {} listed, {} opened in all", outcome.curve.peak(), outcome.opened);
        text(&mut svg, left, top - 10.0, "faint small", &opened)?;
        panel.band(&mut svg, &outcome.curve, class)?;
        panel.curve(&mut svg, &outcome.curve, class, "none")?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn legend(svg: &mut String, outcomes: &[Outcome]) -> Result {
    let y = 372.0;
    for ((outcome, (class, dashes)), x) in outcomes.iter().zip(LINES).zip([60, 264, 406, 606]) {
        let to = f64::from(x + 24);
        writeln!(svg, "  <path class=\"line {class}\" stroke-dasharray=\"{dashes}\" d=\"M{x} {} H{to}\"/>", y - 4.0)?;
        let label = format!("{}: at most {}", outcome.story.title(), outcome.curve.peak());
        text(svg, to + 6.0, y, "ink small", &label)?;
    }
    Ok(())
}

/// A rectangle with a scale: seconds to the right, connections upwards.
struct Panel {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    seconds: f64,
    most: u64,
}

impl Panel {
    fn x(&self, share: f64) -> f64 {
        self.left + share * self.width
    }

    fn y(&self, count: u64) -> f64 {
        self.top + self.height * (1.0 - count as f64 / self.most as f64)
    }

    fn axes(&self, svg: &mut String, ticks: u32) -> Result {
        let Self { left, top, width, height, seconds, most } = *self;
        let (right, bottom) = (left + width, top + height);
        let step = step(most, height / 36.0);
        for count in (0..=most).step_by(step as usize) {
            let (y, class) = (self.y(count), if count == 0 { "axis" } else { "grid" });
            writeln!(svg, "  <line class=\"{class}\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\"/>")?;
            anchored(svg, left - 6.0, y + 4.0, "end", &count.to_string())?;
        }
        for tick in 0..=ticks {
            let share = f64::from(tick) / f64::from(ticks);
            let (x, time) = (self.x(share), seconds * share);
            writeln!(
                svg,
                "  <line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{}\"/>",
                bottom + 4.0
            )?;
            let label = if seconds >= 120.0 { format!("{:.1} min", time / 60.0) } else { format!("{time:.1} s") };
            anchored(svg, x, bottom + 18.0, "middle", &label)?;
        }
        Ok(())
    }

    fn limit(&self, svg: &mut String, limit: u64) -> Result {
        let (y, left, right) = (self.y(limit), self.left, self.left + self.width);
        writeln!(svg, "  <line class=\"limit\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>")?;
        let label = format!("the server takes {limit}, for all its clients together");
        anchored(svg, right, y - 6.0, "end", &label)
    }

    /// The most of each part, as steps.
    fn curve(&self, svg: &mut String, curve: &Curve, class: &str, dashes: &str) -> Result {
        let mut path = String::new();
        for (share, _, most) in curve.parts() {
            let (x, y) = (self.x(share), self.y(most));
            if path.is_empty() {
                write!(path, "M{x:.1} {y:.1}")?;
            } else {
                write!(path, "H{x:.1}V{y:.1}")?;
            }
        }
        if path.is_empty() {
            return Ok(());
        }
        let part = self.part();
        writeln!(svg, "  <path class=\"line {class}\" stroke-dasharray=\"{dashes}\" d=\"{path}h{part:.1}\"/>")
    }

    /// From the least to the most of each part.
    fn band(&self, svg: &mut String, curve: &Curve, class: &str) -> Result {
        let part = self.part();
        let mut path = String::new();
        for (share, least, most) in curve.parts().filter(|(_, least, most)| least < most) {
            let (x, y, height) = (self.x(share), self.y(most), self.y(least) - self.y(most));
            write!(path, "M{x:.1} {y:.1}h{part:.1}v{height:.1}h-{part:.1}z")?;
        }
        writeln!(svg, "  <path class=\"band {class}f\" d=\"{path}\"/>")
    }

    /// How wide a part of the curve is.
    fn part(&self) -> f64 {
        self.width / Curve::PARTS as f64
    }
}

/// A round distance between lines of a grid, so that there are about as many as there is room for.
fn step(most: u64, lines: f64) -> u64 {
    let least = (most as f64 / lines).max(1.0);
    (0..)
        .flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)))
        .find(|step| *step as f64 >= least)
        .unwrap_or(1)
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, text: &str) -> Result {
    writeln!(svg, "  <text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(text))
}

fn anchored(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) -> Result {
    let text = escape(text);
    writeln!(svg, "  <text class=\"faint small\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
}

/// A version may hold what a distribution has added to it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
