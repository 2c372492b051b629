//! Texts of section 6 of Autobahn: valid and invalid sequences of UTF-8 (RFC 3629).

/// A group of cases: the number of its section, its byte sequences, and whether they are valid.
pub(super) type Group = (u32, Vec<Vec<u8>>, bool);

/// The Greek word of Markus Kuhn's test of UTF-8 decoders, in which each letter has two or three bytes.
pub(super) const KOSME: &str = "κ\u{1f79}σμε";

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).expect("a hexadecimal text")
}

fn all(hex: &[&str]) -> Vec<Vec<u8>> {
    hex.iter().map(|hex| bytes(hex)).collect()
}

/// Start bytes without continuation bytes, each followed by a space.
fn lonely(first: u8, last: u8) -> Vec<u8> {
    (first..=last).flat_map(|start| [start, b' ']).collect()
}

/// The last two code points of each plane, which are no characters and yet valid.
fn noncharacters() -> Vec<Vec<u8>> {
    let points = (0..=0x10_u32).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    points.map(|point| char::from_u32(point).expect("a code point").to_string().into_bytes()).collect()
}

/// The groups 6.5 and 6.7 to 6.23. The prefixes of group 6.6 are cut from [`KOSME`].
pub(super) fn groups() -> Vec<Group> {
    let valid = ["hello$world", "hello¢world", "hello€world", "hello𤭢world", KOSME];
    let unfinished =
        ["c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf"];
    vec![
        (5, valid.iter().map(|text| text.as_bytes().to_vec()).collect(), true),
        // U+0000 is a character of UTF-8, and JSON allows it as an escape only
        (7, all(&["c280", "e0a080", "f0908080"]), true),
        (8, all(&["f888808080", "fc8480808080"]), false),
        (9, all(&["7f", "dfbf", "efbfbf", "f48fbfbf"]), true),
        (10, all(&["f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"]), false),
        (11, all(&["ed9fbf", "ee8080", "efbfbd", "f48fbfbf"]), true),
        (11, all(&["f4908080"]), false),
        (12, all(&["80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf"]), false),
        (12, vec![(0x80..=0xbf).collect()], false),
        (
            13,
            vec![lonely(0xc0, 0xdf), lonely(0xe0, 0xef), lonely(0xf0, 0xf7), lonely(0xf8, 0xfb), lonely(0xfc, 0xfd)],
            false,
        ),
        (14, all(&unfinished), false),
        (15, vec![bytes(&unfinished.concat())], false),
        (16, all(&["fe", "ff", "fefeffff"]), false),
        (17, all(&["c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"]), false),
        (18, all(&["c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"]), false),
        (19, all(&["c080", "e08080", "f0808080", "f880808080", "fc8080808080"]), false),
        (20, all(&["eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"]), false),
        (
            21,
            all(&[
                "eda080edb080",
                "eda080edbfbf",
                "edadbfedb080",
                "edadbfedbfbf",
                "edae80edb080",
                "edae80edbfbf",
                "edafbfedb080",
                "edafbfedbfbf",
            ]),
            false,
        ),
        (22, noncharacters(), true),
        (23, all(&["efbfb9", "efbfba", "efbfbb", "efbfbc", "efbfbd", "efbfbe", "efbfbf"]), true),
    ]
}
