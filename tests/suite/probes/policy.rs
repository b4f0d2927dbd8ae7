//! Trust policies, right and wrong.

use attestree::core::trust::TrustPolicy;
use serde_json::json;

use super::{Probe, check};
use crate::published::{LOG_VKEY, SKYLIGHT_VKEY, WITNESS_VKEY, policy_text};

fn good_probes() -> Vec<Probe> {
    let good = |name, desc, policy: String| Probe::good(name, desc, json!({ "policy": policy }));
    vec![
        good("good", "one log and one witness", policy_text()),
        good(
            "good-none",
            "the log's signature is enough",
            format!("log {LOG_VKEY}\nquorum none\n"),
        ),
        good("good-no-logs", "nothing but a quorum", "quorum none".to_owned()),
        good(
            "good-layout",
            "comments, tabs, spaces, empty lines, addresses and names that are not ASCII",
            format!(
                "# trust\n\n \t \n  # more\nlog\t{LOG_VKEY}  https://log.example/ \nwitness \u{e9}#1 \
                 {WITNESS_VKEY} https://witness.example/\u{e9}\ngroup all any \u{e9}#1\n\tquorum all"
            ),
        ),
        good(
            "good-lines-after-quorum",
            "logs may stand anywhere",
            format!("quorum none\nlog {LOG_VKEY}\nwitness a {WITNESS_VKEY}\n"),
        ),
        good(
            "good-same-key-for-log-and-witness-name",
            "a witness's name may be any word",
            format!("witness log {WITNESS_VKEY}\ngroup quorum 1 log\nquorum quorum\n"),
        ),
    ]
}

/// Name, description, policy, number of the wrong line, message. `$LOG` is the key of a log, `$A` and
/// `$B` are those of witnesses.
type WrongLine = (&'static str, &'static str, &'static str, usize, &'static str);

const KIND: &str = "\"trust\" is no kind of line: use log, witness, group or quorum";
const CONTROL: &str =
    "control characters other than tabs are not allowed; end lines with a line feed alone";
const LOG_FORM: &str = "write \"log <vkey> [<url>]\"";
const WITNESS_FORM: &str = "write \"witness <name> <vkey> [<url>]\"";
const GROUP_FORM: &str = "write \"group <name> all|any|<k> <member>...\"";
const QUORUM_FORM: &str = "write \"quorum <name>|none\"";
const NO_KEY: &str = "not a key: a vkey is <name>+<8 hexadecimal digits>+<base64>, a skey begins \
                      with PRIVATE+KEY+";
const WITNESS_KEY: &str =
    "a log has an Ed25519 key (0x01), a witness a cosigning one (0x04); this is 0x04";
const LOG_KEY: &str =
    "a log has an Ed25519 key (0x01), a witness a cosigning one (0x04); this is 0x01";
const SAME_KEY: &str = "the same public key is listed above, under this name or another";
const TAKEN: &str = "\"a\" is defined above";
const RESERVED: &str = "\"none\" is reserved: it can only be the quorum";
const NO_MEMBERS: &str = "the threshold of a group of 0 is all, any or a number from 1 to 0";
const OF_TWO: &str = "the threshold of a group of 2 is all, any or a number from 1 to 2";
const OF_ONE: &str = "the threshold of a group of 1 is all, any or a number from 1 to 1";
const A_TWICE: &str = "\"a\" is a member of a group already, and may count only once";
const G_TWICE: &str = "\"g\" is a member of a group already, and may count only once";
const NO_C: &str = "\"c\" is not defined above this line";
const NO_G: &str = "\"g\" is not defined above this line";
const NO_KELVIN: &str = "\"\u{212a}\" is not defined above this line";
const SAME_QUORUM: &str = "the quorum is set above: remove one of the two lines";

const WRONG_KEYS: [WrongLine; 17] = [
    ("kind", "an unknown word", "quorum none\ntrust x", 2, KIND),
    ("kind-alone", "an unknown word alone", "quorum none\ntrust", 2, KIND),
    ("control", "a bell in a comment", "quorum none\n# \x07", 2, CONTROL),
    ("carriage-return", "lines end as on Windows", "quorum none\r\n", 1, CONTROL),
    ("delete", "the control character above the letters", "# \x7f", 1, CONTROL),
    ("log-alone", "a log without key", "log", 1, LOG_FORM),
    ("log-more", "a third word", "log $LOG url more", 1, LOG_FORM),
    ("log-comment", "a comment behind a line", "log $LOG # mine", 1, LOG_FORM),
    ("log-key", "no key", "log example.com", 1, NO_KEY),
    ("log-with-witness-key", "a cosigner's key for a log", "log $A", 1, WITNESS_KEY),
    ("log-twice", "one log twice", "log $LOG\nlog $LOG", 2, SAME_KEY),
    ("witness-alone", "a witness without key", "witness a", 1, WITNESS_FORM),
    ("witness-more", "a fourth word", "witness a $A url more", 1, WITNESS_FORM),
    ("witness-with-log-key", "a log's key for a witness", "witness a $LOG", 1, LOG_KEY),
    ("witness-twice", "one key, two names", "witness a $A\nwitness b $A", 2, SAME_KEY),
    ("witness-name-twice", "two keys, one name", "witness a $A\nwitness a $B", 2, TAKEN),
    ("witness-none", "the reserved name", "witness none $A", 1, RESERVED),
];

/// Below two witnesses, `a` and `b`.
const WRONG_GROUPS: [WrongLine; 24] = [
    ("group-alone", "a group without anything", "group", 3, GROUP_FORM),
    ("group-no-threshold", "a name alone", "group g", 3, GROUP_FORM),
    ("group-no-members", "any of no members", "group g any", 3, NO_MEMBERS),
    ("group-all-of-none", "all of no members", "group g all", 3, NO_MEMBERS),
    ("group-zero", "nobody has to", "group g 0 a b", 3, OF_TWO),
    ("group-too-many", "three of two", "group g 3 a b", 3, OF_TWO),
    ("group-leading-zero", "a leading zero", "group g 01 a b", 3, OF_TWO),
    ("group-word", "an unknown word", "group g most a b", 3, OF_TWO),
    ("group-beyond-64-bits", "65 bits", "group g 18446744073709551617 a", 3, OF_ONE),
    ("group-unknown", "a name that nothing defines", "group g any c", 3, NO_C),
    ("group-below", "a name that is defined later", "group h any g\ngroup g any a", 3, NO_G),
    ("group-of-itself", "a circle", "group g any g", 3, NO_G),
    ("group-member-twice", "one witness twice", "group g all a a", 3, A_TWICE),
    ("group-of-grouped", "in two groups", "group g any a\ngroup h any a b", 4, A_TWICE),
    (
        "group-in-two-groups",
        "a group in two groups",
        "group g any a\ngroup h any g\ngroup i all b g",
        5,
        G_TWICE,
    ),
    ("group-name-taken", "a witness's name", "group a any b", 3, TAKEN),
    ("group-named-none", "the reserved name", "group none any b", 3, RESERVED),
    ("group-of-none", "the reserved name for a member", "group g any none", 3, RESERVED),
    ("quorum-alone", "a quorum without name", "quorum", 3, QUORUM_FORM),
    ("quorum-two-names", "two names", "quorum a b", 3, QUORUM_FORM),
    ("quorum-twice", "two quorums", "quorum none\nquorum a", 4, SAME_QUORUM),
    ("quorum-unknown", "a name that nothing defines", "quorum c", 3, NO_C),
    ("quorum-below", "a name that is defined later", "quorum g\ngroup g any a", 3, NO_G),
    (
        "quorum-other-letter",
        "a Kelvin sign is no K",
        "group K any a\nquorum \u{212a}",
        4,
        NO_KELVIN,
    ),
];

/// Makes the probes of a table, with some lines above each.
fn wrong_lines(above: &str, table: &[WrongLine]) -> Vec<Probe> {
    let probe = |&(name, desc, policy, line, error): &WrongLine| {
        let policy = format!("{above}{policy}")
            .replace("$LOG", LOG_VKEY)
            .replace("$A", WITNESS_VKEY)
            .replace("$B", SKYLIGHT_VKEY);
        let error = format!("line {line} of the policy: {error}");
        Probe::bad(name, desc, json!({ "policy": policy }), &error)
    };
    table.iter().map(probe).collect()
}

pub(super) fn probes() -> Vec<Probe> {
    let no_quorum = "the policy has no quorum line: add \"quorum none\" or \"quorum <name>\"";
    let log = format!("log {LOG_VKEY}\n");
    let mut probes = good_probes();
    probes.push(Probe::bad("empty", "nothing at all", json!({ "policy": "" }), no_quorum));
    probes.push(Probe::bad("no-quorum", "a log alone", json!({ "policy": log }), no_quorum));
    probes.extend(wrong_lines("", &WRONG_KEYS));
    probes.extend(wrong_lines("witness a $A\nwitness b $B\n", &WRONG_GROUPS));
    probes
}

#[test]
fn probes_of_policies_get_their_answers() {
    check("policy", &probes(), |probe| {
        let policy = TrustPolicy::parse(probe.text("policy"));
        if let Ok(policy) = &policy {
            assert_eq!(TrustPolicy::parse(&policy.to_string()).as_ref(), Ok(policy));
        }
        policy.err().map(|error| error.to_string())
    });
}
