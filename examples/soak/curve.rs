//! How many connections there were, over time.

use std::time::Duration;

/// The least and the most of each of 120 equal parts of the time, so that no peak is lost in a long run.
pub struct Curve {
    time: Duration,
    parts: Vec<Option<(u64, u64)>>,
}

impl Curve {
    pub const PARTS: usize = 120;
    /// Lines of text for one curve.
    pub const LINES: usize = 12;
    const COLUMNS: u64 = 56;

    /// An empty one for so much time.
    pub fn new(time: Duration) -> Self {
        Self { time, parts: vec![None; Self::PARTS] }
    }

    /// Adds a count; what comes late belongs to the last part.
    pub fn add(&mut self, at: Duration, count: u64) {
        let part = (at.as_secs_f64() / self.time.as_secs_f64() * Self::PARTS as f64) as usize;
        let part = &mut self.parts[part.min(Self::PARTS - 1)];
        *part = Some(part.map_or((count, count), |(least, most)| (least.min(count), most.max(count))));
    }

    pub fn peak(&self) -> u64 {
        self.parts.iter().flatten().map(|(_, most)| *most).max().unwrap_or(0)
    }

    /// The parts that were counted in: where they begin, as a share of the time, with the least and the most.
    pub fn parts(&self) -> impl Iterator<Item = (f64, u64, u64)> {
        let counted = self.parts.iter().enumerate().filter_map(|(at, part)| part.map(|part| (at, part)));
        counted.map(|(at, (least, most))| (at as f64 / Self::PARTS as f64, least, most))
    }

    /// How many lines are complete at a time.
    pub fn complete(&self, at: Duration) -> usize {
        let lines = at.as_secs_f64() / self.time.as_secs_f64() * Self::LINES as f64;
        (lines as usize).min(Self::LINES)
    }

    /// One line of the curve as text, with a bar that is full at `full`. `None` where nothing was counted in it.
    pub fn line(&self, number: usize, full: u64) -> Option<String> {
        let length = Self::PARTS / Self::LINES;
        let parts = self.parts.get(number * length..(number + 1) * length)?;
        let most = parts.iter().flatten().map(|(_, most)| *most).max()?;
        let bar = (most * Self::COLUMNS).div_ceil(full.max(1)).min(Self::COLUMNS) as usize;
        let until = self.time.as_secs_f64() * (number + 1) as f64 / Self::LINES as f64;
        Some(format!("{until:>8.1} s  {most:>4}  {}", "#".repeat(bar)).trim_end().to_owned())
    }
}
