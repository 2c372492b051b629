//! Texts that PostgreSQL's input functions accept, for every built-in type. Tests export these values.

use std::collections::HashMap;

/// Test values of base types, and of the domains of `information_schema`, whose checks refuse most texts. Each item has
/// the name of a type and its texts. If PostgreSQL has ranges of a type, the second text of the type must be greater
/// than the first.
const TEXTS: &[(&str, &[&str])] = &[
    ("bool", &["f", "t"]),
    ("bytea", &["", "\\x00ff5c22", "abc"]),
    ("char", &["x", "", "\\303", " "]),
    ("name", &["Some Name", "", "a\"b"]),
    ("int8", &["-9223372036854775808", "9223372036854775807", "0"]),
    ("int2", &["-32768", "32767"]),
    ("int4", &["-2147483648", "2147483647"]),
    ("int2vector", &["1 -2 3", ""]),
    ("oidvector", &["1 4294967295", ""]),
    ("text", &["", " a\"b\\c,{}()'é😀 ", "NULL", "null", "line\none\r\ntwo", "\\.", "\\N", "=1+1", "\u{feff}#x", "\t"]),
    ("oid", &["0", "4294967295"]),
    ("tid", &["(0,1)", "(4294967295,65535)"]),
    ("xid", &["3", "4294967295"]),
    ("xid8", &["3", "18446744073709551615"]),
    ("cid", &["0", "4294967295"]),
    ("json", &["{\"b\": 1.10,  \"a\": [1, null, \"é\"], \"a\": 2}", "null", "\"\"", " 1e400 "]),
    ("jsonb", &["{\"b\": 1.10,  \"a\": [1, null, \"é\"], \"a\": 2}", "null", "\"\"", "1e400"]),
    ("jsonpath", &["$.a ? (@ > 1)", "strict $.*", "$"]),
    (
        "xml",
        &[
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>",
            "<a>b</a>",
            "",
            "<?xml version=\"1.0\" standalone=\"yes\"?><a/>",
        ],
    ),
    ("point", &["(1,2)", "(-0.1,1e300)", "(NaN,Infinity)"]),
    ("lseg", &["[(1,2),(3,4.5)]"]),
    ("path", &["((0,0),(1,1),(2,0))", "[(0,0),(1,1)]"]),
    ("box", &["(1,2),(3,4)", "(0.1,0),(0,1e-7)"]),
    ("polygon", &["((0,0),(1,1),(1,0))"]),
    ("line", &["{1,-1,0.5}"]),
    ("circle", &["<(0,0.1),5>"]),
    ("float4", &["-3.4028235e38", "0.1", "1e-45", "NaN", "Infinity", "-Infinity", "-0", "16777216", "1e15"]),
    (
        "float8",
        &[
            "-1.7976931348623157e308",
            "0.30000000000000004",
            "5e-324",
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "1e15",
            "123456789012345680",
        ],
    ),
    ("money", &["-92233720368547758.08", "1234.5", "0"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03"]),
    (
        "inet",
        &[
            "192.0.2.1",
            "192.0.2.1/24",
            "192.0.2.1/32",
            "2001:db8::1",
            "2001:db8::1/64",
            "::ffff:192.0.2.1/128",
            "0.0.0.0/0",
        ],
    ),
    ("cidr", &["192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "::/0"]),
    ("aclitem", &["=r/postgres", "postgres=r*w/postgres"]),
    ("bpchar", &["ab  ", "", "  "]),
    ("varchar", &["ab  ", "", "'"]),
    (
        "date",
        &[
            "4713-01-01 BC",
            "5874897-12-31",
            "infinity",
            "-infinity",
            "0001-12-31 BC",
            "0001-01-01",
            "10000-01-01",
            "2024-02-29",
        ],
    ),
    ("time", &["00:00", "24:00", "23:59:59.999999", "01:02:03.5", "12:00:00.12"]),
    ("timetz", &["00:00+15:59:59", "24:00-15:59", "01:02:03.5+01", "23:59:59.999999Z"]),
    (
        "timestamp",
        &[
            "4713-01-01 00:00:00 BC",
            "294246-12-31 23:59:59.999999",
            "infinity",
            "-infinity",
            "0001-12-31 23:59:59.5 BC",
            "1969-12-31 23:59:59.999999",
            "2026-03-29 02:30:00.12",
        ],
    ),
    (
        "timestamptz",
        &[
            "4713-01-01 00:00:00+00 BC",
            "294246-12-31 23:59:59.999999+00",
            "infinity",
            "-infinity",
            "0044-03-15 12:00:00+00 BC",
            "1900-01-01 00:00:00+00:53:28",
            "2026-03-29 02:30:00.12+02",
        ],
    ),
    (
        "interval",
        &[
            "1 year -2 days 03:04:05.6",
            "0",
            "-178000000 years",
            "-00:00:00.000001",
            "1 mon -1 day",
            "2562047788:00:54.775807",
            "-1 year -2 mons +3 days -04:05:06.789",
        ],
    ),
    ("bit", &["101", "", "0"]),
    ("varbit", &["10101", ""]),
    (
        "numeric",
        &[
            "-1.50",
            "100000000000000000000.000000000000000000000000000001",
            "0",
            "0.000",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-16383",
            "1e1000",
        ],
    ),
    ("refcursor", &["a cursor", ""]),
    ("regproc", &["now", "0", "4000000000", "pg_catalog.int4in"]),
    ("regprocedure", &["lower(text)", "0", "4000000000", "sum(int4)"]),
    ("regoper", &["||/", "0", "4000000000"]),
    ("regoperator", &["+(int4,int4)", "-(NONE,int4)", "0", "4000000000"]),
    ("regclass", &["pg_class", "0", "4000000000", "information_schema.tables", "mine.\"odd Name\""]),
    ("regcollation", &["\"C\"", "0", "4000000000"]),
    ("regtype", &["\"char\"", "0", "4000000000", "mine.mood", "timestamp with time zone", "mine.mood[]"]),
    ("regrole", &["postgres", "0", "4000000000"]),
    ("regnamespace", &["pg_catalog", "0", "4000000000"]),
    ("regconfig", &["english", "0", "4000000000"]),
    ("regdictionary", &["simple", "0", "4000000000"]),
    ("regdatabase", &["postgres", "0", "4000000000"]),
    ("uuid", &["0199AAAA-0000-7000-8000-000000000001", "00000000000000000000000000000000"]),
    ("pg_lsn", &["16/B374D848", "0/0", "FFFFFFFF/FFFFFFFF"]),
    ("tsvector", &["'a fat':2 cat:3A,4 'it''s'", "", "a:1D"]),
    ("tsquery", &["fat & (rat | !cat:AB*) <2> 'it''s'", ""]),
    ("txid_snapshot", &["10:20:10,14,15", "1:1:"]),
    ("pg_snapshot", &["10:20:10,14,15", "1:1:"]),
    ("cardinal_number", &["0", "2147483647"]),
    ("character_data", &["", "a \"b\""]),
    ("sql_identifier", &["Some Name"]),
    ("time_stamp", &["infinity", "2026-03-29 02:30:00.12+02"]),
    ("yes_or_no", &["YES", "NO"]),
];

/// Base types whose values only the server can create, because their input functions refuse every text.
const WITHOUT_INPUT: [&str; 7] = [
    "gtsvector",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_ndistinct",
    "pg_node_tree",
];

/// A type, as the system table `pg_type` lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// The class of the type: `b` base, `c` composite, `d` domain, `e` enum, `r` range, `m` multirange, or `a` array.
    pub(super) class: char,
    /// The identifiers of the types that this type consists of: the elements of an array, the base of a domain, the
    /// subtype of a range, the range of a multirange, or the members of a composite.
    pub(super) inner: Vec<u32>,
    /// The character between the elements of an array of this type.
    pub(super) delimiter: String,
    /// The labels of an enum.
    pub(super) labels: Vec<String>,
}

/// All listed types by their identifiers. The values of types that consist of other types are built from them.
pub(super) struct Types {
    pub(super) by_oid: HashMap<u32, Listed>,
    /// Whether the server was built with the library for the type `xml`.
    pub(super) has_xml: bool,
}

impl Types {
    /// Whether a table may have a column of the type. False if the type contains a pseudo-type, because the list has no
    /// pseudo-types.
    pub(super) fn is_storable(&self, listed: &Listed) -> bool {
        listed.inner.iter().all(|oid| self.by_oid.get(oid).is_some_and(|inner| self.is_storable(inner)))
    }

    /// Returns texts that the input function of the type accepts. The result is empty for a type whose values only the
    /// server can create.
    pub(super) fn texts(&self, listed: &Listed) -> Vec<String> {
        let inner = |at: usize| self.texts(&self.by_oid[&listed.inner[at]]);
        if let Some((_, texts)) = TEXTS.iter().find(|(name, _)| *name == listed.name && listed.schema != "mine") {
            let is_missing = listed.name == "xml" && !self.has_xml;
            return if is_missing { Vec::new() } else { texts.iter().map(ToString::to_string).collect() };
        }
        match listed.class {
            'b' if WITHOUT_INPUT.contains(&listed.name.as_str()) => Vec::new(),
            'b' => panic!("the test has no texts for the type {}.{}", listed.schema, listed.name),
            'd' => inner(0),
            'e' => listed.labels.clone(),
            'a' => arrays(&inner(0), &self.by_oid[&listed.inner[0]].delimiter),
            'r' => ranges(&inner(0)),
            'm' => {
                let ranges = inner(0).into_iter().filter(|range| range != "empty").map(|range| format!("{{{range}}}"));
                ranges.chain(["{}".to_owned()]).collect()
            }
            _ => self.rows(listed),
        }
    }

    /// Returns the texts of three rows of a composite type. All members of the first row are NULL. The second row has
    /// the first text of each member's type, and the third row has the second text.
    fn rows(&self, listed: &Listed) -> Vec<String> {
        let row = |at: usize| {
            let member = |oid: &u32| self.texts(&self.by_oid[oid]).get(at).map(|text| quoted(text)).unwrap_or_default();
            let members: Vec<_> = listed.inner.iter().map(member).collect();
            format!("({})", members.join(","))
        };
        [usize::MAX, 0, 1].map(row).to_vec()
    }
}

/// Returns a text in quotes, in the form that the input functions of arrays, rows and ranges accept.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn arrays(elements: &[String], delimiter: &str) -> Vec<String> {
    let quoted: Vec<_> = elements.iter().map(|text| quoted(text)).chain(["NULL".to_owned()]).collect();
    let (all, first) = (quoted.join(delimiter), &quoted[0]);
    vec![
        "{}".to_owned(),
        format!("{{{all}}}"),
        format!("{{{{{first}{delimiter}NULL}}{delimiter}{{NULL{delimiter}{first}}}}}"),
        format!("[5:6]={{{first}{delimiter}NULL}}"),
    ]
}

fn ranges(bounds: &[String]) -> Vec<String> {
    let (low, high) = (quoted(&bounds[0]), quoted(&bounds[1]));
    vec!["empty".to_owned(), "(,)".to_owned(), format!("[{low},{high})"), format!("[{low},)"), format!("(,{high})")]
}
