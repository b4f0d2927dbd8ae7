//! JSON pointers into records.

use attestree::core::record::json::{self, Value};
use attestree::core::record::{PATH_BYTES_MAX, Path, SUBMISSION_LIMITS};

/// The sample of RFC 6901, section 5, without what is of the root, and its pointers.
const SAMPLE: &[u8] = br#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;

#[test]
fn the_pointers_of_the_specification_find_their_values() {
    let value = json::parse(SAMPLE, &SUBMISSION_LIMITS).unwrap();
    let root = value.as_object().unwrap();
    let find = |text: &str| Path::parse(text).unwrap().find(root).map(Value::format);
    let wanted = [
        ("/foo", "[\"bar\",\"baz\"]"),
        ("/foo/0", "\"bar\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ];
    for (text, value) in wanted {
        assert_eq!(find(text).as_deref(), Some(value), "{text}");
    }
    for text in
        ["/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/0/x", "/bar", "/a/b", "/foo/", "/~01"]
    {
        assert_eq!(find(text), None, "{text}");
    }
    assert_eq!(Path::parse("/x~01y").unwrap().steps().collect::<Vec<_>>(), ["x~1y"]);
}

#[test]
fn only_pointers_below_the_root_are_paths() {
    for text in ["", "foo", "#/foo", "/a~", "/a~2", "/~a"] {
        assert_eq!(Path::parse(text), None, "{text}");
    }
    let long = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
    assert_eq!(Path::parse(&long).unwrap().as_str(), long);
    assert_eq!(Path::parse(&format!("{long}a")), None);
    assert_eq!(Path::parse(&long).unwrap().child(""), None);
    let path = Path::member("ctx").child("a/~").and_then(|path| path.element(12)).unwrap();
    assert_eq!((path.as_str(), Path::parse(path.as_str())), ("/ctx/a~1~0/12", Some(path.clone())));
}
