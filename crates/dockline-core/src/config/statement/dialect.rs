//! Whose SQL a text is, and the settings of a session that change how it is read.

/// The SQL of one server, as one session reads it.
///
/// Start from one of the constants, and tell it what the session is set to.
///
/// ```
/// use dockline::statement::Dialect;
///
/// let mysql = Dialect::MYSQL.with_version(90_700).with_backslash_escapes(false);
/// assert!(mysql.is_mysql() && !mysql.is_mariadb());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dialect {
    pub(crate) family: Family,
    /// A backslash escapes the next character in `'…'`.
    pub(crate) backslash_escapes: bool,
    /// `"…"` is a name, not a text.
    pub(crate) ansi_quotes: bool,
    /// As MySQL writes it in comments: 80,036 for 8.0.36.
    pub(crate) version: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    Sqlite,
    Postgres,
    Mysql,
    Mariadb,
}

impl Dialect {
    /// SQLite.
    pub const SQLITE: Self = Self::plain(Family::Sqlite);
    /// PostgreSQL, with `standard_conforming_strings` on.
    pub const POSTGRES: Self = Self::plain(Family::Postgres);
    /// MySQL, with a `sql_mode` that has neither `ANSI_QUOTES` nor `NO_BACKSLASH_ESCAPES`.
    pub const MYSQL: Self = Self { backslash_escapes: true, ansi_quotes: false, ..Self::plain(Family::Mysql) };
    /// MariaDB, with a `sql_mode` that has neither `ANSI_QUOTES` nor `NO_BACKSLASH_ESCAPES`.
    pub const MARIADB: Self = Self { family: Family::Mariadb, ..Self::MYSQL };

    const fn plain(family: Family) -> Self {
        Self { family, backslash_escapes: false, ansi_quotes: true, version: None }
    }

    /// Says whether a backslash escapes the next character in `'…'`. On MySQL and MariaDB this is off with
    /// `NO_BACKSLASH_ESCAPES`, on PostgreSQL it is on with `standard_conforming_strings=off`. SQLite has no such setting.
    #[must_use]
    pub const fn with_backslash_escapes(mut self, on: bool) -> Self {
        self.backslash_escapes = on && !matches!(self.family, Family::Sqlite);
        self
    }

    /// Says whether `"…"` is a name (`ANSI_QUOTES`). It always is on SQLite and PostgreSQL.
    #[must_use]
    pub const fn with_ansi_quotes(mut self, on: bool) -> Self {
        self.ansi_quotes = on || !self.is_mysql_or_mariadb();
        self
    }

    /// Tells the server's version, as MySQL writes it in comments: 80,036 for 8.0.36, and 101,106 for MariaDB 10.11.6. It
    /// decides whether the text in `/*!80000 … */` runs. Without it such a text is unknown.
    #[must_use]
    pub const fn with_version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Returns whether this is SQLite.
    pub const fn is_sqlite(&self) -> bool {
        matches!(self.family, Family::Sqlite)
    }

    /// Returns whether this is PostgreSQL.
    pub const fn is_postgres(&self) -> bool {
        matches!(self.family, Family::Postgres)
    }

    /// Returns whether this is MySQL, and not MariaDB.
    pub const fn is_mysql(&self) -> bool {
        matches!(self.family, Family::Mysql)
    }

    /// Returns whether this is MariaDB.
    pub const fn is_mariadb(&self) -> bool {
        matches!(self.family, Family::Mariadb)
    }

    /// Returns whether this is MySQL or MariaDB.
    pub const fn is_mysql_or_mariadb(&self) -> bool {
        matches!(self.family, Family::Mysql | Family::Mariadb)
    }

    /// Whether `$tag$ … $tag$` quotes a text. MySQL has it for routines in other languages.
    pub(crate) fn has_dollar_quotes(&self) -> bool {
        self.is_postgres() || (self.is_mysql() && self.version.is_none_or(|version| version >= 80_032))
    }

    /// Whether the text of `/*!version … */`, or of `/*M!version … */` if `only_mariadb`, runs. `None` if nobody knows.
    pub(crate) fn runs_comment(&self, version: Option<u32>, only_mariadb: bool) -> Option<bool> {
        match (self.family, version) {
            (Family::Sqlite | Family::Postgres, _) => Some(false),
            (Family::Mysql, _) if only_mariadb => Some(false),
            (_, None) => Some(true),
            // MariaDB leaves out what is meant for versions that only MySQL has.
            (Family::Mariadb, Some(50_700..=99_999)) if !only_mariadb => Some(false),
            (_, Some(wanted)) => self.version.map(|version| version >= wanted),
        }
    }
}
