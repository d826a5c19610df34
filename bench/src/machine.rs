//! What ran, and on what: without names of hosts or paths.

use std::process::Command;

/// The processor's model, how many of them, and the system.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split(':').nth(1));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).and_then(|line| {
        let number: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(number)
    });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {cores} {}, {} GiB; {} {} ({})",
        model.map_or("an unknown processor", str::trim),
        if cores == 1 { "core" } else { "cores" },
        kilobytes.map_or_else(|| "?".to_owned(), |kilobytes| format!("{:.0}", kilobytes as f64 / 1_048_576.0)),
        std::env::consts::OS,
        kernel.trim().split('-').next().unwrap_or_default(),
        std::env::consts::ARCH,
    )
}

/// How busy the machine was with other things: what waits to run, a moment ago.
pub(crate) fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

pub(crate) fn compiler() -> String {
    let said =
        Command::new("rustc").arg("--version").output().ok().and_then(|said| String::from_utf8(said.stdout).ok());
    said.map_or_else(
        || "rustc of an unknown version".to_owned(),
        |said| said.split(" (").next().unwrap_or("").trim().to_owned(),
    )
}

/// Name and version of each crate that a contestant is made of.
pub(crate) fn crates() -> Vec<(String, String)> {
    const WANTED: &[&str] =
        &["dockline", "postgres", "mysql", "rusqlite", "r2d2", "deadpool-postgres", "sqlx", "diesel"];
    let packages = include_str!("../Cargo.lock").split("[[package]]").filter_map(|package| {
        let field = |name: &str| {
            package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        Some((field("name")?.to_owned(), field("version")?.to_owned()))
    });
    packages.filter(|(name, _)| WANTED.contains(&&**name)).collect()
}
