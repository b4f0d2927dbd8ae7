//! A log record in neither encoding, and the event that it becomes.

use std::borrow::Cow;
use std::net::IpAddr;

use super::value::Room;
use crate::core::hash::{HASH_BYTES, TreeHash};
use crate::core::record::json::{Object, Value};
use crate::core::record::{Submitted, Timestamp};
use crate::source::EventDraft;
use crate::source::foreign::{Malformed, shown};

/// The action of a record that names no event.
const NO_EVENT: &str = "log.record";

/// The attribute that names the class of an event.
const CLASS: &str = "attestree.class";

/// Attributes that say who acted, and the members of `actor` that they become: of two for one member, the first. None of
/// them stays among the attributes as well, so that a policy that hides one hides it everywhere.
const ACTOR: [(&str, &str); 11] = [
    ("enduser.id", "id"),
    ("user.id", "id"),
    ("enduser.pseudo.id", "pseudo_id"),
    ("enduser.role", "roles"),
    ("user.roles", "roles"),
    ("enduser.scope", "scope"),
    ("user.email", "email"),
    ("user.full_name", "full_name"),
    ("user.hash", "hash"),
    ("user.name", "name"),
    ("user.domain", "domain"),
];

/// Attributes that say on what somebody acted, and the types of it: the first that is there.
const RESOURCE: [(&str, &str); 6] = [
    ("file.path", "file"),
    ("db.collection.name", "db.collection"),
    ("db.namespace", "db"),
    ("url.full", "url"),
    ("url.path", "url"),
    ("feature_flag.key", "feature_flag"),
];

/// First parts of actions, and the classes of these.
const CLASSES: [(&str, &str); 6] = [
    ("auth", "authentication"),
    ("config", "configuration"),
    ("credential", "privilege"),
    ("data", "data-access"),
    ("deploy", "deployment"),
    ("role", "privilege"),
];

/// How many attributes were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped(pub(super) u64);

/// A log record. What is empty or 0 is not there.
#[derive(Clone, Debug)]
pub(super) struct LogRecord<'a> {
    /// When it occurred, in nanoseconds since 1970.
    pub(super) time: u64,
    /// When it was collected, likewise.
    pub(super) observed: u64,
    pub(super) severity: Option<Value<'a>>,
    pub(super) severity_text: Cow<'a, str>,
    pub(super) event_name: Cow<'a, str>,
    pub(super) body: Option<Value<'a>>,
    pub(super) attributes: Object<'a>,
    pub(super) dropped: Dropped,
    pub(super) flags: u64,
    pub(super) trace_id: Cow<'a, str>,
    pub(super) span_id: Cow<'a, str>,
    /// Members that the protocol does not have.
    pub(super) unknown: Object<'a>,
    /// What room its values have left.
    pub(super) room: Room,
}

/// What in a program sent a record.
#[derive(Clone, Debug)]
pub(super) struct Scope<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) version: Cow<'a, str>,
    pub(super) attributes: Object<'a>,
    pub(super) dropped: u64,
}

/// Where records come from.
#[derive(Clone, Debug)]
pub(super) struct Origin<'a> {
    resource: Object<'a>,
    dropped: u64,
    scope: Scope<'a>,
    /// Names all of it, as it was written.
    pub(super) digest: [u8; HASH_BYTES],
    room: Room,
}

impl<'a> Origin<'a> {
    /// Takes a resource and a scope, with the parts that they were written in.
    pub(super) fn new(
        resource: Object<'a>,
        dropped: u64,
        scope: Scope<'a>,
        parts: &[&[u8]],
        room: Room,
    ) -> Self {
        let mut written = Vec::new();
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            written.extend_from_slice(&length.to_be_bytes());
            written.extend_from_slice(part);
        }
        let digest = *TreeHash::digest(&written).as_bytes();
        Self { resource, dropped, scope, digest, room }
    }
}

impl LogRecord<'_> {
    /// Makes the event.
    pub(super) fn draft<'b>(&'b self, origin: &'b Origin<'b>) -> Result<EventDraft<'b>, Malformed> {
        self.room.without(origin.room)?;
        let mut draft = EventDraft::new();
        let mut attributes = self.attributes.clone();
        self.times(&mut draft);
        self.action(&mut draft, &mut attributes);
        if let Some(outcome) = outcome(&attributes) {
            draft.set("out", outcome);
        }
        if let Some((kind, id)) = RESOURCE.iter().find_map(|(name, kind)| {
            attributes.get(name).filter(|id| id.as_str().is_some()).map(|id| (*kind, id))
        }) {
            draft.put("resource", "id", id.clone());
            draft.put("resource", "type", kind);
        }
        for (name, member) in ACTOR {
            if !draft.has("actor", member)
                && let Some(value) = attributes.remove(name)
            {
                draft.put("actor", member, shown(value));
            }
        }
        let is_address =
            |value: &Value<'_>| value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
        if attributes.get("client.address").is_some_and(is_address)
            && let Some(address) = attributes.remove("client.address")
        {
            draft.put("ctx", "source", Object::from([("ip", address)]));
        }
        self.context(&mut draft, attributes);
        origin.context(&mut draft, self.dropped);
        Ok(draft)
    }

    /// Says when it occurred, and when it was collected.
    fn times(&self, draft: &mut EventDraft<'_>) {
        let occurred = if self.time == 0 { self.observed } else { self.time };
        if let Some(text) = time(occurred) {
            draft.occurred_text(&text);
        }
        if self.time != 0
            && let Some(observed) = time(self.observed)
        {
            draft.put("ctx", "observed", observed);
        }
    }

    /// Says what was done, and of which class that is.
    fn action(&self, draft: &mut EventDraft<'_>, attributes: &mut Object<'_>) {
        let named = |name: &str| Submitted::Act.accepts(&Value::from(name));
        let event_name = self.event_name.clone().into_owned();
        // Where events were named before records had a field for it.
        let attribute = attributes.get("event.name").and_then(Value::as_str).map(str::to_owned);
        let action = match attribute {
            _ if named(&event_name) => event_name,
            Some(name) if event_name.is_empty() && named(&name) => {
                attributes.remove("event.name");
                name
            }
            _ => {
                if !event_name.is_empty() {
                    draft.put("ctx", "event_name", event_name);
                }
                NO_EVENT.to_owned()
            }
        };
        let first = action.split('.').next().unwrap_or_default();
        let known = CLASSES.iter().find(|(part, _)| *part == first);
        if attributes.get(CLASS).is_some_and(|class| Submitted::Class.accepts(class))
            && let Some(class) = attributes.remove(CLASS)
        {
            draft.set("class", class.into_owned());
        } else if let Some((_, class)) = known {
            draft.set("class", *class);
        }
        draft.set("act", action);
    }

    /// Shows everything else.
    fn context<'b>(&'b self, draft: &mut EventDraft<'b>, attributes: Object<'b>) {
        if !attributes.members().is_empty() {
            draft.put("ctx", "attributes", each_shown(attributes));
        }
        if let Some(body) = &self.body {
            draft.put("ctx", "body", shown(body.clone()));
        }
        let mut severity = Object::new();
        if let Some(number) = &self.severity {
            severity.insert("number", number.clone());
        }
        for (object, name, text) in [
            (Some(&mut severity), "text", &self.severity_text),
            (None, "span_id", &self.span_id),
            (None, "trace_id", &self.trace_id),
        ] {
            match object {
                _ if text.is_empty() => {}
                Some(object) => drop(object.insert(name, Value::from(&**text))),
                None => draft.put("ctx", name, &**text),
            }
        }
        if !severity.members().is_empty() {
            draft.put("ctx", "severity", severity);
        }
        if self.flags != 0 {
            draft.put("ctx", "flags", natural(self.flags));
        }
        if !self.unknown.members().is_empty() {
            draft.put("ctx", "unknown", each_shown(self.unknown.clone()));
        }
    }
}

impl Origin<'_> {
    /// Shows where a record comes from, and what of it all was not sent.
    fn context<'b>(&'b self, draft: &mut EventDraft<'b>, record: Dropped) {
        let service = self.resource.get("service.name");
        if let Some(service) = service.filter(|name| Submitted::Source.accepts(name)) {
            draft.set("source", service.clone());
        }
        if !self.resource.members().is_empty() {
            draft.put("ctx", "resource", each_shown(self.resource.clone()));
        }
        let Scope { name, version, attributes, dropped } = &self.scope;
        let mut scope = Object::new();
        for (member, text) in [("name", name), ("version", version)] {
            if !text.is_empty() {
                scope.insert(member, Value::from(&**text));
            }
        }
        if !attributes.members().is_empty() {
            scope.insert("attributes", each_shown(attributes.clone()));
        }
        if !scope.members().is_empty() {
            draft.put("ctx", "scope", scope);
        }
        let counts = [("attributes", record.0), ("resource", self.dropped), ("scope", *dropped)];
        let mut truncated = Object::new();
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            truncated.insert(name, natural(count));
        }
        if !truncated.members().is_empty() {
            draft.put("ctx", "truncated_at_source", truncated);
        }
    }
}

/// Returns the outcome, if an attribute says it.
fn outcome(attributes: &Object<'_>) -> Option<&'static str> {
    let said = attributes.get("event.outcome").and_then(Value::as_str);
    let words = ["success", "failure", "unknown"];
    if let Some(word) = words.into_iter().find(|word| said == Some(*word)) {
        return Some(word);
    }
    if attributes.get("error.type").or_else(|| attributes.get("exception.type")).is_some() {
        return Some("failure");
    }
    let status = attributes.get("http.response.status_code").and_then(Value::as_natural);
    if let Some(status) = status {
        return Some(if status < 400 { "success" } else { "failure" });
    }
    let status = attributes.get("rpc.grpc.status_code").and_then(Value::as_natural);
    status.map(|status| if status == 0 { "success" } else { "failure" })
}

/// Returns attributes as an event may show them, each for itself.
fn each_shown(mut attributes: Object<'_>) -> Value<'_> {
    let names: Vec<String> =
        attributes.members().iter().map(|(name, _)| name.clone().into_owned()).collect();
    for name in names {
        if let Some(place) = attributes.member_mut(&name) {
            *place = shown(core::mem::replace(place, Value::Null));
        }
    }
    shown(attributes.into())
}

/// Returns a count; beyond 2^53-1, its text.
fn natural(count: u64) -> Value<'static> {
    i64::try_from(count).map_or_else(|_| count.to_string().into(), super::value::integer)
}

/// Returns a time with its nanoseconds; 0 is none.
fn time(nanos: u64) -> Option<String> {
    let micros = Timestamp::from_micros(nanos / 1_000).filter(|_| nanos != 0)?.to_string();
    let micros = micros.strip_suffix('Z')?;
    Some(format!("{micros}{:03}Z", nanos % 1_000))
}
