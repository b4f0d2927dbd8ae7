//! What a policy hides is in no byte below the data directory, in whatever form it is looked for.

use std::fs;

use rocksdb::DBCompressionType;

use super::{
    archive::Archive,
    search::{Found, Search, canary, compact, copy_all, forms},
};

/// What is hidden, each by something else, and what is kept, to show that the search finds it.
const HIDDEN: [&str; 8] =
    ["dropped", "masked", "token", "committed", "email", "subject", "quarantined", "spilled"];

/// A number of a card, which is dropped wherever it is recognised.
const CARD: &str = "5500005555555559";

/// Returns submissions with every canary.
fn submissions() -> Vec<String> {
    let text = |name: &str| serde_json::to_string(&canary(name)).unwrap();
    let event = format!(
        r#"{{"act":"a","actor":{{"email":{},"id":{}}},"ctx":{{"dropped":{{"deep":[{}]}},"masked":{},
           "token":{},"committed":{{"deep":{}}},"kept":{},"card":"{CARD}"}}}}"#,
        text("email"),
        text("subject"),
        text("dropped"),
        text("masked"),
        text("token"),
        text("committed"),
        text("kept"),
    );
    let quarantined = format!(r#"{{"act":7,"ctx":{{"kept":{}}}}}"#, text("quarantined"));
    let filler = "f".repeat(70_000);
    let long = format!(r#"{{"act":"a","ctx":{{"long":[{},"{filler}"]}}}}"#, text("spilled"));
    vec![event, quarantined, long]
}

/// Looks for everything that is hidden, and for what is kept.
pub fn search() -> Search {
    let texts: Vec<(&str, String)> =
        HIDDEN.into_iter().chain(["kept"]).map(|name| (name, canary(name))).collect();
    let texts = texts.iter().map(|(name, text)| (*name, text.as_str()));
    Search::new(texts.chain([("card", CARD)]))
}

/// Checks that what is kept was found in a form, and nothing else in any.
pub fn only_kept(found: &Found, form: &str, place: &str) {
    assert!(found.contains(&("kept".to_owned(), form.to_owned())), "{place}: {found:?}");
    let hidden: Vec<_> = found.iter().filter(|(canary, _)| canary != "kept").collect();
    assert!(hidden.is_empty(), "{place}: {hidden:?}");
}

#[test]
fn the_search_finds_every_form_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let all = forms(&canary("kept"));
    assert_eq!(all.len(), 12);
    for (form, bytes) in &all {
        let inside = dir.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        let planted = [b"before".as_slice(), bytes, b"behind"].concat();
        fs::write(inside.join("planted"), planted).unwrap();
        let found = search().files(dir.path());
        assert!(found.contains(&("kept".to_owned(), form.clone())), "{form}: {found:?}");
        assert!(found.iter().all(|(canary, _)| canary == "kept"));
    }
    // Base64 of what begins anywhere inside of other bytes.
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    for before in 0..6 {
        let text = format!("{}{}more", &"before"[..before], canary("email"));
        let found = search().bytes(STANDARD.encode(text).as_bytes());
        assert!(found.iter().any(|(canary, form)| canary == "email" && form.starts_with("base64")));
    }
}

#[test]
fn what_is_hidden_is_in_no_file_and_no_row() {
    let mut archive = Archive::new();
    let submissions = submissions();
    let submissions: Vec<&str> = submissions.iter().map(String::as_str).collect();
    archive.append(&submissions);
    // Fields are there to be disclosed: the values are kept, sealed.
    let disclosed = attestree::server::disclose(
        archive.place(),
        "",
        attestree::core::number::LeafIndex::default(),
        None,
    );
    assert_eq!(disclosed.unwrap().len(), 2);
    assert_eq!(archive.entries.len(), 3);

    // As the writer left it: rows in the WAL alone.
    only_kept(&search().files(&archive.root()), "json", "WAL");
    only_kept(&search().rows(&archive.data()), "json", "rows");
    for compression in [DBCompressionType::None, DBCompressionType::Lz4] {
        let copy = tempfile::tempdir().unwrap();
        copy_all(&archive.root(), copy.path());
        compact(copy.path(), compression);
        let place = format!("{compression:?}");
        only_kept(&search().rows(copy.path()), "json", &place);
        let found = search().files(copy.path());
        if compression == DBCompressionType::None {
            only_kept(&found, "json", &place);
        } else {
            assert!(found.iter().all(|(canary, _)| canary == "kept"), "{place}: {found:?}");
        }
    }
}
