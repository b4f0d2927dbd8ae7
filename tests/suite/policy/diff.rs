//! Semantic differences: each field of a document is seen, and its direction is right both ways round.

use attestree::core::policy::{
    Action, Bundle, Condition, Detector, Enforcement, Enrichment, FieldType, Glob, Lookup,
    Requirement, Rule, Target, Test, Treatment,
};
use attestree::core::record::{ApprovalRule, ApproverKey, Path, PolicyDigest};
use attestree::policy::Document;
use attestree::policy::diff::{Direction, diff, files};
use attestree::policy::document::{
    Alert, Class, Date, Hold, Level, Logging, Parent, Period, Permission, Place, Redaction,
    RegoModule, Retention, Role, Source, StatedRule, Suppression, Trigger,
};

use Direction::{Neutral, Stricter, Unclear, Weaker};

/// One way to change a document.
type Mutation = fn(&mut Document);

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn when(prefix: &str) -> Vec<Condition> {
    vec![Condition::field(path("/act"), Test::Prefix(prefix.to_owned()))]
}

fn require(at: &str, field: FieldType) -> Requirement {
    Requirement { path: path(at), field }
}

fn days(days: u64) -> Period {
    Period { seconds: days * 86_400 }
}

fn date(year: u16) -> Date {
    Date { year, month: 6, day: 30 }
}

fn key(number: u8) -> ApproverKey {
    let name = attestree::core::note::KeyName::parse("approver").unwrap();
    let key = attestree::core::note::SigningKey::from_seed(name, &[number; 32]);
    ApproverKey::new(*key.verifier_key().public_bytes()).unwrap()
}

fn retention() -> Retention {
    Retention {
        hot: Some(days(90)),
        warm: Some(days(180)),
        archive: Some(days(360)),
        total: Some(days(400)),
    }
}

fn class(name: &str) -> Class {
    Class {
        name: name.to_owned(),
        description: Some("what it is".to_owned()),
        when: when("auth."),
        require: vec![require("/actor/id", FieldType::Text), require("/ctx/n", FieldType::Number)],
        required: true,
        log: Logging::default(),
        level: Level::Request,
        otherwise: Some(Enforcement::Quarantine),
        retention: Some(retention()),
        indexes: vec![vec![path("/actor/id")]],
        place: Place::default(),
    }
}

fn redaction(target: Target, action: Action) -> Redaction {
    let treatment = Treatment { target, action };
    Redaction { treatment, epoch_days: None, place: Place::default() }
}

fn alert(name: &str, trigger: Trigger) -> Alert {
    Alert {
        name: name.to_owned(),
        classes: vec!["login".to_owned()],
        when: when("auth.in"),
        trigger,
        to: vec!["soc".to_owned()],
        place: Place::default(),
    }
}

fn threshold(count: u64, seconds: u64, by: &[&str]) -> Trigger {
    let by = by.iter().map(|at| path(at)).collect();
    Trigger::Threshold { count, within: Period { seconds }, by }
}

fn suppression() -> Suppression {
    Suppression {
        name: "health".to_owned(),
        classes: vec!["change".to_owned()],
        when: when("health."),
        window: Period { seconds: 60 },
        place: Place::default(),
    }
}

fn hold() -> Hold {
    Hold {
        name: "case".to_owned(),
        reason: "a court".to_owned(),
        classes: vec![Glob::new("login")],
        when: when("auth."),
        until: Some(date(2028)),
        place: Place::default(),
    }
}

fn role() -> Role {
    Role {
        name: "auditor".to_owned(),
        members: vec![Glob::new("a@*")],
        can: vec![Permission::Query],
        classes: vec![Glob::new("login")],
        allow: vec![path("/actor")],
        deny: vec![path("/ctx")],
        place: Place::default(),
    }
}

/// Returns a document that says something with each of its fields.
fn document() -> Document {
    let place = Place::default;
    let enrich = |name: &str| Enrichment {
        name: name.to_owned(),
        from: path("/actor/ip"),
        lookup: Lookup::Networks(vec![("10.0.0.0/8".parse().unwrap(), "inside".to_owned())]),
    };
    let rule = Rule {
        name: "login/out".to_owned(),
        classes: vec!["login".to_owned()],
        when: when("auth.in"),
        require: vec![require("/out", FieldType::Any)],
        otherwise: Enforcement::Quarantine,
    };
    Document {
        name: "base".to_owned(),
        description: Some("words".to_owned()),
        owner: Some("security".to_owned()),
        metadata: Place::default(),
        review_by: Some(date(2027)),
        extends: vec![Parent {
            name: "org".to_owned(),
            digest: PolicyDigest::from_bytes([1; 32]),
            place: place(),
        }],
        classes: vec![class("login"), class("change")],
        rules: vec![StatedRule { rule, place: place() }],
        on_violation: Some(Enforcement::Quarantine),
        unknown_class: Some(Enforcement::Quarantine),
        redactions: vec![
            redaction(Target::Path(path("/ctx/secret")), Action::Drop),
            redaction(Target::Path(path("/ctx/card")), Action::Mask { keep_last: 4 }),
            redaction(
                Target::Path(path("/ctx/mail")),
                Action::Commit { subject: Some(path("/actor/id")) },
            ),
            redaction(Target::Path(path("/ctx/session")), Action::TOKEN),
            redaction(Target::Detected(Detector::ALL[0]), Action::Drop),
        ],
        enrichments: vec![enrich("zone")],
        suppressions: vec![suppression()],
        retention: retention(),
        holds: vec![hold()],
        access: vec![role()],
        alerts: vec![
            alert("each", Trigger::Match),
            alert("many", threshold(5, 60, &["/actor/id"])),
            alert("silent", Trigger::Absence { within: Period { seconds: 3_600 } }),
        ],
        sources: vec![Source {
            sources: vec![Glob::new("pay-*")],
            numbered: true,
            expect: Some(Period { seconds: 3_600 }),
            place: place(),
        }],
        rego: vec![RegoModule {
            subject: "rego/custom.rego".to_owned(),
            classes: vec!["login".to_owned()],
            when: when("auth."),
            otherwise: Some(Enforcement::Quarantine),
            needs: vec![path("/actor/email")],
            place: place(),
        }],
        approvals: ApprovalRule::new(vec![key(1), key(2)], 1),
    }
}

/// Takes each mutation: the change is seen in its direction, nothing else is, and the way back is reversed.
fn hold_all(mutations: &[(&str, Direction, Mutation)]) {
    for (label, direction, mutate) in mutations {
        let (old, mut new) = (document(), document());
        mutate(&mut new);
        assert_ne!(old, new, "{label} changes nothing");
        let there = diff(&old, &new);
        let found: Vec<Direction> = there.iter().map(|change| change.direction).collect();
        assert!(!found.is_empty(), "{label} is not seen");
        assert!(found.iter().all(|found| found == direction), "{label}: {there:?}");
        let back = diff(&new, &old);
        let wanted = direction.reversed();
        assert_eq!(back.len(), there.len(), "{label}: {there:?} {back:?}");
        assert!(back.iter().all(|change| change.direction == wanted), "{label} back: {back:?}");
    }
}

#[test]
fn a_document_does_not_differ_from_itself() {
    assert_eq!(diff(&document(), &document()), []);
    assert_eq!(diff(&Document::default(), &Document::default()), []);
}

#[test]
fn changes_of_the_policy_itself_have_their_directions() {
    hold_all(&[
        ("name", Neutral, |d| d.name = "other".into()),
        ("description", Neutral, |d| d.description = None),
        ("owner gone", Weaker, |d| d.owner = None),
        ("owner", Neutral, |d| d.owner = Some("others".into())),
        ("review later", Weaker, |d| d.review_by = Some(date(2030))),
        ("no review", Weaker, |d| d.review_by = None),
        ("parent gone", Weaker, |d| d.extends.clear()),
        ("parent version", Unclear, |d| d.extends[0].digest = PolicyDigest::from_bytes([2; 32])),
        ("violations warn", Weaker, |d| d.on_violation = Some(Enforcement::Warn)),
        ("violations reject", Stricter, |d| d.on_violation = Some(Enforcement::Reject)),
        ("violations unsaid", Neutral, |d| d.on_violation = None),
        ("unknown warn", Weaker, |d| d.unknown_class = Some(Enforcement::Warn)),
        ("unknown accepted", Weaker, |d| d.unknown_class = None),
        ("hot", Weaker, |d| d.retention.hot = Some(days(89))),
        ("warm", Weaker, |d| d.retention.warm = Some(days(1))),
        ("archive", Weaker, |d| d.retention.archive = Some(days(1))),
        ("total", Weaker, |d| d.retention.total = Some(days(399))),
        ("for ever", Stricter, |d| d.retention.total = None),
    ]);
}

#[test]
fn changes_of_classes_have_their_directions() {
    hold_all(&[
        ("class gone", Weaker, |d| d.classes.truncate(1)),
        ("class added", Stricter, |d| d.classes.push(class("more"))),
        ("order", Unclear, |d| d.classes.reverse()),
        ("description", Neutral, |d| d.classes[0].description = None),
        ("narrower", Weaker, |d| d.classes[0].when = when("auth.in")),
        ("wider", Stricter, |d| d.classes[0].when = when("a")),
        ("elsewhere", Unclear, |d| d.classes[0].when = when("login")),
        ("unmatched", Weaker, |d| d.classes[0].when.clear()),
        ("also", Weaker, |d| d.classes[0].when.extend(when("x"))),
        ("field gone", Weaker, |d| d.classes[0].require.truncate(1)),
        ("field", Stricter, |d| d.classes[0].require.push(require("/out", FieldType::Any))),
        ("any type", Weaker, |d| d.classes[0].require[0].field = FieldType::Any),
        ("address", Stricter, |d| d.classes[0].require[0].field = FieldType::Address),
        ("integer", Stricter, |d| d.classes[0].require[1].field = FieldType::Integer),
        ("other type", Unclear, |d| d.classes[0].require[1].field = FieldType::Object),
        ("not required", Weaker, |d| d.classes[0].required = false),
        ("successes", Weaker, |d| d.classes[0].log.success = false),
        ("failures", Weaker, |d| d.classes[0].log.failure = false),
        ("metadata", Weaker, |d| d.classes[0].level = Level::Metadata),
        ("full", Stricter, |d| d.classes[0].level = Level::Full),
        ("warn", Weaker, |d| d.classes[0].otherwise = Some(Enforcement::Warn)),
        ("reject", Stricter, |d| d.classes[0].otherwise = Some(Enforcement::Reject)),
        ("as the policy", Neutral, |d| d.classes[0].otherwise = None),
        ("hot", Weaker, |d| d.classes[0].retention.as_mut().unwrap().hot = Some(days(1))),
        ("kept as the policy", Neutral, |d| d.classes[0].retention = None),
        ("kept for ever", Stricter, |d| d.classes[0].retention = Some(Retention::default())),
        ("index", Neutral, |d| d.classes[0].indexes.clear()),
    ]);
}

#[test]
fn changes_of_rules_have_their_directions() {
    hold_all(&[
        ("rule gone", Weaker, |d| d.rules.clear()),
        ("of all", Stricter, |d| d.rules[0].rule.classes.clear()),
        ("of more", Stricter, |d| d.rules[0].rule.classes.push("change".into())),
        ("narrower", Weaker, |d| d.rules[0].rule.when = when("auth.in.x")),
        ("always", Stricter, |d| d.rules[0].rule.when.clear()),
        ("field", Weaker, |d| d.rules[0].rule.require.clear()),
        ("typed", Stricter, |d| d.rules[0].rule.require[0].field = FieldType::Text),
        ("warn", Weaker, |d| d.rules[0].rule.otherwise = Enforcement::Warn),
    ]);
}

#[test]
fn changes_of_redactions_and_enrichments_have_their_directions() {
    hold_all(&[
        ("redaction gone", Weaker, |d| d.redactions.truncate(4)),
        ("masked", Weaker, |d| d.redactions[0].treatment.action = Action::Mask { keep_last: 0 }),
        ("more shown", Weaker, |d| {
            d.redactions[1].treatment.action = Action::Mask { keep_last: 6 };
        }),
        ("token", Unclear, |d| d.redactions[1].treatment.action = Action::TOKEN),
        ("no subject", Weaker, |d| {
            d.redactions[2].treatment.action = Action::Commit { subject: None };
        }),
        ("other subject", Unclear, |d| {
            d.redactions[2].treatment.action = Action::Commit { subject: Some(path("/actor/x")) };
        }),
        ("longer epoch", Weaker, |d| d.redactions[3].epoch_days = Some(60)),
        ("shorter epoch", Stricter, |d| d.redactions[3].epoch_days = Some(1)),
        ("the epoch said", Neutral, |d| d.redactions[3].epoch_days = Some(30)),
        ("enrichment gone", Weaker, |d| d.enrichments.clear()),
        ("looked at elsewhere", Unclear, |d| d.enrichments[0].from = path("/actor/host")),
        ("other networks", Unclear, |d| d.enrichments[0].lookup = Lookup::Networks(vec![])),
    ]);
}

#[test]
fn hiding_what_events_must_show_is_a_weakening() {
    let (old, mut new) = (document(), document());
    new.redactions.push(redaction(Target::Path(path("/actor/id")), Action::Drop));
    let changes = diff(&old, &new);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].direction, Weaker);
    assert_eq!(changes[0].what, "is added, of a field that events must show");
}

#[test]
fn changes_of_suppressions_and_alerts_have_their_directions() {
    hold_all(&[
        ("suppression gone", Stricter, |d| d.suppressions.clear()),
        ("of all", Weaker, |d| d.suppressions[0].classes.clear()),
        ("of another", Weaker, |d| d.suppressions[0].classes.push("login".into())),
        ("wider", Weaker, |d| d.suppressions[0].when = when("h")),
        ("counted later", Weaker, |d| d.suppressions[0].window.seconds = 61),
        ("alert gone", Weaker, |d| d.alerts.truncate(2)),
        ("alert of all", Stricter, |d| d.alerts[0].classes.clear()),
        ("alert of fewer", Weaker, |d| d.alerts[0].when = when("auth.in.x")),
        ("silence of others", Unclear, |d| d.alerts[2].when = when("auth.in.x")),
        ("nobody told", Weaker, |d| d.alerts[0].to.clear()),
        ("by many", Weaker, |d| d.alerts[0].trigger = threshold(2, 60, &[])),
        ("another trigger", Unclear, |d| {
            d.alerts[0].trigger = Trigger::Absence { within: Period { seconds: 1 } };
        }),
        ("more needed", Weaker, |d| d.alerts[1].trigger = threshold(6, 60, &["/actor/id"])),
        ("less time", Weaker, |d| d.alerts[1].trigger = threshold(5, 59, &["/actor/id"])),
        ("finer", Weaker, |d| d.alerts[1].trigger = threshold(5, 60, &["/actor/id", "/act"])),
        ("silent longer", Weaker, |d| {
            d.alerts[2].trigger = Trigger::Absence { within: Period { seconds: 3_601 } };
        }),
    ]);
}

#[test]
fn changes_of_sources_and_modules_have_their_directions() {
    hold_all(&[
        ("source gone", Weaker, |d| d.sources.clear()),
        ("not numbered", Weaker, |d| d.sources[0].numbered = false),
        ("heard of later", Weaker, |d| d.sources[0].expect = Some(Period { seconds: 3_601 })),
        ("never heard of", Weaker, |d| d.sources[0].expect = None),
        ("module gone", Weaker, |d| d.rego.clear()),
        ("of all", Stricter, |d| d.rego[0].classes.clear()),
        ("narrower", Weaker, |d| d.rego[0].when = when("auth.in")),
        ("warn", Weaker, |d| d.rego[0].otherwise = Some(Enforcement::Warn)),
        ("as the policy", Neutral, |d| d.rego[0].otherwise = None),
        ("sees more", Unclear, |d| d.rego[0].needs.push(path("/ctx/x"))),
    ]);
    let (old, mut new) = (document(), document());
    new.sources[0].sources = vec![Glob::new("p*")];
    let directions: Vec<Direction> = diff(&old, &new).iter().map(|one| one.direction).collect();
    assert_eq!(directions, [Weaker, Stricter], "one pattern goes and another comes");
}

#[test]
fn changes_of_what_people_may_do_have_their_directions() {
    hold_all(&[
        ("hold lifted", Weaker, |d| d.holds.clear()),
        ("reason", Neutral, |d| d.holds[0].reason = "another".into()),
        ("hold on all", Stricter, |d| d.holds[0].classes.clear()),
        ("hold on fewer", Weaker, |d| d.holds[0].when = when("auth.in")),
        ("hold ends earlier", Weaker, |d| d.holds[0].until = Some(date(2027))),
        ("hold never ends", Stricter, |d| d.holds[0].until = None),
        ("role gone", Stricter, |d| d.access.clear()),
        ("member", Weaker, |d| d.access[0].members.push(Glob::new("*"))),
        ("permission", Weaker, |d| d.access[0].can.push(Permission::Disclose)),
        ("class", Weaker, |d| d.access[0].classes.push(Glob::new("*"))),
        ("field", Weaker, |d| d.access[0].allow.push(path("/resource"))),
        ("every field", Weaker, |d| d.access[0].allow.clear()),
        ("nothing denied", Weaker, |d| d.access[0].deny.clear()),
        ("threshold", Stricter, |d| {
            d.approvals = ApprovalRule::new(vec![key(1), key(2)], 2);
        }),
        ("one more key", Weaker, |d| {
            d.approvals = ApprovalRule::new(vec![key(1), key(2), key(3)], 1);
        }),
    ]);
}

#[test]
fn nobody_who_has_to_approve_is_said_in_two_ways() {
    let unsaid = Document::default();
    let said = Document { approvals: Some(ApprovalRule::NOBODY), ..Document::default() };
    let directions: Vec<Direction> = diff(&unsaid, &said).iter().map(|one| one.direction).collect();
    assert_eq!(directions, [Neutral]);
}

#[test]
fn the_weakest_come_first() {
    let (old, mut new) = (document(), document());
    new.name = "other".into();
    new.classes[0].level = Level::Full;
    new.classes[1].when = when("elsewhere");
    new.alerts.clear();
    let changes = diff(&old, &new);
    assert!(changes.is_sorted_by_key(|change| change.direction));
    assert_eq!(changes.first().unwrap().direction, Weaker);
    assert_eq!(changes.last().unwrap().direction, Neutral);
}

#[test]
fn files_that_no_document_tells_of_are_compared_by_their_bytes() {
    let bundle = |files: &[(&str, &str)]| {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        Bundle::new(files.iter().map(own)).unwrap()
    };
    let old = bundle(&[("policy.yaml", "a"), ("rego/a.rego", "x"), ("rego/b.rego", "x")]);
    let new = bundle(&[("policy.yaml", "b"), ("rego/a.rego", "y"), ("data.json", "{}")]);
    let changes = files(&old, &new);
    let found: Vec<(&str, &str)> =
        changes.iter().map(|change| (&*change.subject, &*change.what)).collect();
    assert_eq!(
        found,
        [
            ("file rego/a.rego", "has other contents"),
            ("file rego/b.rego", "is gone"),
            ("file data.json", "is added")
        ]
    );
    assert!(changes.iter().all(|change| change.direction.may_weaken()));
    assert_eq!(files(&old, &old), []);
}
