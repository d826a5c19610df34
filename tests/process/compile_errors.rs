//! What the compiler says of programs that use Dockline wrongly: the words, and the place that it marks.
//!
//! The compiler is run on small programs, beside the libraries that this test was built with. Of its own words only the number of an error is
//! looked at.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// A program: the body of a function that has a connection. What stands in `«»` is what the compiler marks.
struct Wrong {
    body: &'static str,
    /// What the error says.
    says: &'static [&'static str],
}

const WRONG: &[Wrong] = &[
    Wrong {
        body: "db.execute(SQL, params![1, «custom», \"x\"])?;",
        says: &["`Custom` cannot be a parameter of a statement", "implement `ToValue` for it, or derive it"],
    },
    Wrong {
        body: "db.execute(SQL, params![1,\n 2,\n «&custom»])?;",
        says: &["`Custom` cannot be a parameter of a statement"],
    },
    Wrong { body: "params![Some(1), «Some(custom)»];", says: &["`Custom` cannot be a parameter of a statement"] },
    Wrong {
        body: "db.execute(SQL, named! { id: 1, name: «custom» })?;",
        says: &["`Custom` cannot be a parameter of a statement"],
    },
    Wrong { body: "db.execute(SQL, (1, «custom»))?;", says: &["`Custom` cannot be a parameter of a statement"] },
    Wrong {
        body: "params![1, «vec![Custom]»];",
        says: &["a list of `Custom` is neither a list of parameters nor an array", "impl dockline::Element for Custom"],
    },
    Wrong {
        body: "db.execute(SQL, «5»)?;",
        says: &["cannot be the parameters of a statement", "for one value `(a,)` or `params![a]`"],
    },
    Wrong {
        body: "let bytes = vec![1u8]; db.execute(SQL, «&bytes»)?;",
        says: &["cannot be the parameters of a statement"],
    },
    Wrong {
        body: "db.«query_value::<Custom>»(SQL, ())?;",
        says: &["a column cannot be read as `Custom`", "implement `FromValue` for it, or derive it"],
    },
    Wrong {
        body: "let rows: Vec<Custom> = db.«query_as»(SQL, ())?; drop(rows);",
        says: &["a row cannot be read as `Custom`", "a struct derives `FromRow`"],
    },
    Wrong {
        body: "let row = db.query_one(SQL, ())?; row.«get::<Custom, _>»(0)?;",
        says: &["a column cannot be read as `Custom`"],
    },
    Wrong {
        body: "let db = db.clone(); std::thread::«spawn(move || db.alias().len())»;",
        says: &["SendTheRegistryAndCallGetThere"],
    },
    Wrong {
        body: "let block = db.begin_atomic(Atomic::new())?; std::thread::«spawn(move || drop(block))»;",
        says: &["EndItOnTheThreadThatBeganIt"],
    },
    Wrong {
        body: "fn f(db: &Connection) -> Result<i64, Anyhow> { let n = db.atomic(|| { db.execute(SQL, ())?; «Ok»(5) })?; Ok(n) } f(db).ok();",
        says: &["E0283", "required by a bound in", "::atomic`"],
    },
];

const AROUND: &str = "#![allow(unused)]
use dockline::{Atomic, Connection, named, params};
const SQL: &str = \"SELECT 1\";
struct Custom;
struct Anyhow;
impl<E: std::error::Error> From<E> for Anyhow { fn from(_: E) -> Self { Self } }
fn program(db: &Connection, custom: Custom) -> dockline::Result<()> {
BODY
Ok(())
}
fn main() {}
";

struct Compiler {
    folder: tempfile::TempDir,
    libraries: PathBuf,
    dockline: PathBuf,
}

impl Compiler {
    /// There may be libraries of other features in the folder: the newest that a right program compiles with.
    fn new() -> Self {
        let test = std::env::current_exe().unwrap();
        let libraries = test.parent().unwrap().to_owned();
        let age = |path: &Path| path.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_one = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libdockline-") && name.ends_with(".rlib")
        };
        let mut found: Vec<_> =
            libraries.read_dir().unwrap().flatten().map(|entry| entry.path()).filter(is_one).collect();
        found.sort_by_key(|path| std::cmp::Reverse(age(path)));
        for dockline in &found {
            let compiler =
                Self { folder: tempfile::tempdir().unwrap(), libraries: libraries.clone(), dockline: dockline.clone() };
            if compiler.compile("db.execute(SQL, params![1, \"x\"])?;").is_ok() {
                return compiler;
            }
        }
        panic!("no library of {found:?} compiles a right program");
    }

    /// The error is what the compiler says, a line an error.
    fn compile(&self, body: &str) -> Result<(), String> {
        let program = self.folder.path().join("program.rs");
        std::fs::write(&program, AROUND.replace("BODY", body)).unwrap();
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(compiler);
        command.args(["--edition", "2024", "--emit", "metadata", "--color", "never"]);
        command.arg("--out-dir").arg(self.folder.path());
        command.arg("-L").arg(format!("dependency={}", self.libraries.display()));
        command.arg("--extern").arg(format!("dockline={}", self.dockline.display()));
        let output = command.arg(&program).output().expect("a compiler");
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// A line, and the columns of what is marked in it, counted as the compiler counts; and the program without marks.
fn marked(body: &str) -> (usize, RangeInclusive<usize>, String) {
    let (before, rest) = body.split_once('«').unwrap();
    let lines_above = AROUND.split("BODY").next().unwrap().matches('\n').count();
    let line = lines_above + before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    let width = rest.split('»').next().unwrap().chars().count();
    (line, column..=column + width - 1, body.replace(['«', '»'], ""))
}

/// The place that the first error marks, which is the one that people read.
fn place(error: &str) -> Option<(usize, usize)> {
    let mut parts = error.lines().find_map(|line| line.trim().strip_prefix("--> "))?.rsplit(':');
    let column = parts.next()?.parse().ok()?;
    Some((parts.next()?.parse().ok()?, column))
}

#[test]
fn the_compiler_says_what_to_write_and_marks_the_part_that_is_wrong() {
    let compiler = Compiler::new();
    for Wrong { body, says } in WRONG {
        let (line, columns, program) = marked(body);
        let error = compiler.compile(&program).expect_err(body);
        for text in *says {
            assert!(error.contains(text), "{body}\n{text}\n{error}");
        }
        let is_there = place(&error).is_some_and(|place| place.0 == line && columns.contains(&place.1));
        assert!(is_there, "{body}: it is in line {line}, {columns:?}\n{error}");
        for private in ["dockline_net::", "dockline_mysql::", "dockline_postgres::"] {
            assert!(!error.contains(private), "{body}: it names {private}\n{error}");
        }
    }
}

#[test]
fn every_kind_of_expression_is_a_parameter() {
    let body = "struct Job { name: String, tags: Vec<String> }
        let job = Job { name: String::from(\"a\"), tags: vec![] };
        let (shared, boxed): (&Job, Box<str>) = (&job, \"b\".into());
        let list = [String::from(\"c\")];
        db.execute(SQL, params![1 + 2, -1, !true, shared.name, &shared.name, *shared.name, boxed, *boxed, list[0], &list[..]])?;
        db.execute(SQL, params![if job.tags.is_empty() { 1 } else { 2 }, { 3 }, (4), None::<i64>, \"x\".len(), 5_u8 as i64,])?;
        db.execute(SQL, params![\"1\".parse::<i64>().unwrap_or_default(), match 1 { 1 => Some(\"a\"), _ => None }])?;
        let f = || params![job.name, std::sync::Arc::<str>::from(\"d\"), std::borrow::Cow::Borrowed(\"e\")];
        db.execute(SQL, f())?;
        db.execute(SQL, params![])?;
        db.execute(SQL, named! { a: job.name, b: 1 - 2, c: &job.tags })?;
        macro_rules! mine { ($a:expr, $b:expr) => { params![$a, $b * 2] } }
        db.execute(SQL, mine!(1 + 1, 2 + 2))?;
        drop(job);";
    if let Err(error) = Compiler::new().compile(&format!("#[deny(warnings)] {{\n{body}\n}}")) {
        panic!("{error}");
    }
}
