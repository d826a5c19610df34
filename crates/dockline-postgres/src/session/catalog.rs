//! The types that a database has of its own, as far as results have shown them.

use std::collections::HashMap;

use dockline_net::StatementCache;
use postgres::SimpleQueryRow;
use postgres::types::{Field, Kind, Type};

/// Types hold others, these again others, and so on; further than that nobody goes.
const DEEPEST: usize = 16;

/// The types of a database, by their numbers.
pub(super) struct Catalog {
    types: HashMap<u32, Type>,
    /// The texts whose columns the server was asked for before they ran.
    described: StatementCache<()>,
}

impl Catalog {
    pub(super) fn new(capacity: u32) -> Self {
        Self { types: HashMap::new(), described: StatementCache::new(capacity) }
    }

    pub(super) fn was_described(&mut self, text: &str) -> bool {
        self.described.get(text).is_some()
    }

    pub(super) fn describes(&mut self, text: &str) {
        self.described.put(text, ());
    }

    pub(super) fn types(&self) -> HashMap<u32, Type> {
        self.types.clone()
    }

    pub(super) fn get(&self, number: u32) -> Option<Type> {
        Type::from_oid(number).or_else(|| self.types.get(&number).cloned())
    }

    /// Those of these types that have to be asked for. Composite types are, each time, because they can be changed.
    pub(super) fn missing(&self, wanted: &[u32]) -> Vec<u32> {
        let is_known = |number: &&u32| self.get(**number).is_some_and(|of| !holds_composite(&of, DEEPEST));
        let mut missing: Vec<u32> = wanted.iter().filter(|number| !is_known(number)).copied().collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// The types that those which were asked for last hold, and that have to be asked for too.
    pub(super) fn held_by(&self, entries: &HashMap<u32, Entry>, asked: &[u32]) -> Vec<u32> {
        let asked = asked.iter().filter_map(|number| entries.get(number));
        let held: Vec<u32> = asked.flat_map(|entry| entry.fields.iter().copied().chain([entry.of])).collect();
        let mut missing = self.missing(&held);
        missing.retain(|number| *number != 0 && !entries.contains_key(number));
        missing
    }

    pub(super) fn learn(&mut self, entries: &HashMap<u32, Entry>) {
        for number in entries.keys() {
            let of = self.made(*number, entries, DEEPEST);
            self.types.insert(*number, of);
        }
    }

    /// The type with that number, as the driver would have it.
    fn made(&self, number: u32, entries: &HashMap<u32, Entry>, deep: usize) -> Type {
        let Some((entry, deeper)) = entries.get(&number).zip(deep.checked_sub(1)) else {
            return self.get(number).unwrap_or_else(|| nameless(number));
        };
        let of = || self.made(entry.of, entries, deeper);
        let kind = match entry.letter {
            b'e' => Kind::Enum(Vec::new()),
            b'p' => Kind::Pseudo,
            b'd' => Kind::Domain(of()),
            b'r' => Kind::Range(of()),
            b'm' => Kind::Multirange(of()),
            b'c' => {
                let field = |number: &u32| Field::new(String::new(), self.made(*number, entries, deeper));
                Kind::Composite(entry.fields.iter().map(field).collect())
            }
            _ if entry.of != 0 => Kind::Array(of()),
            _ => Kind::Simple,
        };
        Type::new(entry.name.clone(), number, kind, entry.schema.clone())
    }
}

/// What the server says of a type.
pub(super) struct Entry {
    name: String,
    schema: String,
    letter: u8,
    /// The type of which it is an array, a domain, a range or a multirange; 0 if it is none of these.
    of: u32,
    fields: Vec<u32>,
}

/// By the simple protocol, which has no statements with names. Before version 14 there are no multiranges, nor is their column.
const QUESTION: &str = "SELECT t.oid, t.typname, n.nspname, t.typtype, \
     CASE t.typtype WHEN 'd' THEN t.typbasetype \
     WHEN 'r' THEN (SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid) \
     WHEN 'm' THEN (SELECT r.rngsubtype FROM pg_catalog.pg_range r \
     WHERE pg_catalog.to_jsonb(r) ->> 'rngmultitypid' = t.oid::pg_catalog.text) \
     WHEN 'b' THEN CASE t.typcategory WHEN 'A' THEN t.typelem ELSE 0 END ELSE 0 END, \
     CASE t.typtype WHEN 'c' THEN (SELECT pg_catalog.string_agg(a.atttypid::pg_catalog.text, ',' ORDER BY a.attnum) \
     FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END \
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN ({})";

/// Asks for these types.
pub(super) fn question(numbers: &[u32]) -> String {
    let list: Vec<String> = numbers.iter().map(u32::to_string).collect();
    QUESTION.replace("{}", &list.join(","))
}

/// What a row of the answer says.
pub(super) fn entry(row: &SimpleQueryRow) -> Option<(u32, Entry)> {
    let fields = row.get(5).unwrap_or_default();
    let entry = Entry {
        name: row.get(1)?.to_owned(),
        schema: row.get(2)?.to_owned(),
        letter: *row.get(3)?.as_bytes().first()?,
        of: row.get(4).unwrap_or("0").parse().ok()?,
        fields: fields
            .split(',')
            .filter(|field| !field.is_empty())
            .map(|field| field.parse().ok())
            .collect::<Option<_>>()?,
    };
    Some((row.get(0)?.parse().ok()?, entry))
}

/// A type of which nothing is known: its values can be read as nothing.
pub(super) fn nameless(number: u32) -> Type {
    Type::new(format!("type number {number}"), number, Kind::Simple, String::new())
}

fn holds_composite(of: &Type, deep: usize) -> bool {
    let Some(deeper) = deep.checked_sub(1) else { return true };
    match of.kind() {
        Kind::Composite(_) => Type::from_oid(of.oid()).is_none(),
        Kind::Array(inner) | Kind::Domain(inner) | Kind::Range(inner) | Kind::Multirange(inner) => {
            holds_composite(inner, deeper)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(letter: u8, of: u32, fields: &[u32]) -> Entry {
        Entry { name: "t".to_owned(), schema: "s".to_owned(), letter, of, fields: fields.to_vec() }
    }

    #[test]
    fn types_are_made_of_others() {
        let mut catalog = Catalog::new(10);
        assert_eq!(catalog.missing(&[23, 900_002, 900_001, 900_002]), [900_001, 900_002]);
        let mut entries = HashMap::from([(900_001, entry(b'e', 0, &[])), (900_002, entry(b'b', 900_003, &[]))]);
        assert_eq!(catalog.held_by(&entries, &[900_001, 900_002]), [900_003]);
        entries.insert(900_003, entry(b'c', 0, &[23, 900_001]));
        assert!(catalog.held_by(&entries, &[900_003]).is_empty());
        catalog.learn(&entries);
        let Kind::Array(composite) = catalog.get(900_002).unwrap().kind().clone() else { panic!("an array") };
        let Kind::Composite(fields) = composite.kind() else { panic!("a composite type") };
        assert_eq!(fields[0].type_(), &Type::INT4);
        assert!(matches!(fields[1].type_().kind(), Kind::Enum(_)));
        // What may have changed is asked for again.
        assert_eq!(catalog.missing(&[900_001, 900_002, 900_003]), [900_002, 900_003]);
    }

    #[test]
    fn a_type_that_holds_itself_ends() {
        let mut catalog = Catalog::new(10);
        catalog.learn(&HashMap::from([(900_001, entry(b'd', 900_001, &[]))]));
        assert!(catalog.get(900_001).is_some());
        assert!(catalog.get(900_009).is_none());
    }
}
