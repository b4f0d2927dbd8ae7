//! Audit events of a Kubernetes API server: the bodies that its audit webhook posts.
//!
//! ```text
//! {"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[{"level":"Metadata","auditID":...},...]}
//! ```
//!
//! The server sends a whole batch again after any error, so each event is named by its cluster, `auditID` and
//! stage. What a client can set as it likes stands below `ctx.unverified`: its user agent, and all addresses but the last,
//! which the server has seen itself. The mapping is described in [`crate::manual::sources`].

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::foreign::{Malformed, Members, RawList, VALUES_MAX, shown};
use super::{EventDraft, Item, json, key};
use crate::core::record::json::{Limits, Object, Value};
use crate::core::record::{SUBMISSION_LIMITS, Submitted};

/// Levels that the event adds: a request's object stands two levels deeper in it than in what came.
const ADDED_LEVELS: usize = 2;

/// What verbs change something.
const CHANGES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// A body, its events not looked at.
#[derive(Deserialize)]
struct EventList<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, rename = "apiVersion")]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    items: RawList<'a>,
}

/// Decodes a body.
///
/// One that is no `EventList`, or has more than `items_max` events, is kept as it came.
pub fn decode(body: &Bytes, cluster: &str, items_max: usize) -> Vec<Item> {
    let list: Option<EventList<'_>> = serde_json::from_slice(body).ok();
    let list = list.filter(|list| {
        list.kind == "EventList"
            && list.version == "audit.k8s.io/v1"
            && list.items.0.len() <= items_max
    });
    let decoded = list.map(|list| {
        let items = (0..).zip(list.items.0);
        items.flat_map(|(position, raw)| item(body, position, raw, cluster)).collect::<Vec<Item>>()
    });
    decoded.unwrap_or_else(|| Item::unparsed(body, Some(&json::key_of(body))))
}

/// Decodes one event.
fn item(body: &Bytes, position: usize, raw: &RawValue, cluster: &str) -> Vec<Item> {
    let came = body.slice_ref(raw.get().as_bytes());
    match event(&came, cluster) {
        Ok((draft, key)) => draft.item(Some(key), &came),
        Err(Malformed) => {
            Item::unparsed(&came, Some(&key::numbered(&json::key_of(body), position)))
        }
    }
}

/// Makes the event of one item, and its key.
fn event<'a>(came: &'a [u8], cluster: &str) -> Result<(EventDraft<'a>, Vec<u8>), Malformed> {
    let limits = Limits {
        bytes: came.len(),
        depth: SUBMISSION_LIMITS.depth - ADDED_LEVELS,
        values: VALUES_MAX,
    };
    let value = json::read(came, &limits).map_err(|_not_json| Malformed)?;
    let mut item = Members::of(value)?;
    let mut draft = EventDraft::new();
    if item.text("kind")?.is_some_and(|kind| kind != "Event")
        || item.text("apiVersion")?.is_some_and(|version| version != "audit.k8s.io/v1")
    {
        return Err(Malformed);
    }
    let id = item.text("auditID")?.ok_or(Malformed)?;
    let stage = item.text("stage")?.ok_or(Malformed)?;
    let key = key::named("audit", &[cluster, &id, &stage]);
    let verb = item.text("verb")?.unwrap_or_default();

    times(&mut draft, &mut item)?;
    let impersonated = actor(&mut draft, &mut item)?;
    let object = Reference::take(&mut draft, &mut item, impersonated)?;
    let outcome = response(&mut draft, &mut item, &stage)?;
    client(&mut draft, &mut item)?;
    annotations(&mut draft, &mut item)?;
    if let Some(body) = item.take("requestObject") {
        draft.put("ctx", "request", Object::from([("body", shown(body))]));
    }
    if let Some(level) = item.text("level")? {
        draft.put("ctx", "level", Value::String(level));
    }

    draft.set("act", object.action(&verb));
    draft.set("out", outcome.word());
    if let Some(class) = object.class(&verb, outcome) {
        draft.set("class", class);
    }
    draft.put("ctx", "audit_id", Value::String(id));
    draft.put("ctx", "cluster", cluster.to_owned());
    draft.put("ctx", "stage", Value::String(stage));
    if !verb.is_empty() {
        draft.put("ctx", "verb", Value::String(verb));
    }
    let rest = item.rest();
    if !rest.members().is_empty() {
        draft.put("ctx", "unknown", shown(rest.into()));
    }
    Ok((draft, key))
}

/// Takes the times: of the stage, and of the request.
fn times(draft: &mut EventDraft<'_>, item: &mut Members<'_>) -> Result<(), Malformed> {
    let received = item.text("requestReceivedTimestamp")?;
    let stage = item.text("stageTimestamp")?.or_else(|| received.clone());
    if !stage.is_none_or(|time| draft.occurred_text(&time)) {
        return Err(Malformed);
    }
    if let Some(received) = received {
        draft.put("ctx", "received", received.into_owned());
    }
    Ok(())
}

/// Takes who asked, and as whom; returns whether it was as somebody else.
fn actor<'a>(draft: &mut EventDraft<'a>, item: &mut Members<'a>) -> Result<bool, Malformed> {
    if let Some(user) = item.members("user")? {
        for (name, value) in person(user)? {
            draft.put("actor", name, value);
        }
    }
    let impersonated = item.members("impersonatedUser")?;
    let is_impersonated = impersonated.is_some();
    if let Some(user) = impersonated {
        let mut impersonated = Object::new();
        for (name, value) in person(user)? {
            impersonated.insert(name, value);
        }
        draft.put("actor", "impersonated", impersonated);
    }
    if let Some(authentication) = item.take("authenticationMetadata") {
        draft.put("actor", "authentication", shown(authentication));
    }
    Ok(is_impersonated)
}

/// Takes one user apart.
fn person(mut user: Members<'_>) -> Result<Vec<(&'static str, Value<'_>)>, Malformed> {
    let mut members = Vec::new();
    for (theirs, ours) in [("username", "id"), ("uid", "uid")] {
        members.extend(user.text(theirs)?.map(|text| (ours, Value::String(text))));
    }
    let groups = user.list("groups")?;
    if !groups.iter().all(|group| group.as_str().is_some()) {
        return Err(Malformed);
    }
    if !groups.is_empty() {
        members.push(("groups", Value::Array(groups)));
    }
    members.extend(user.take("extra").map(|extra| ("extra", shown(extra))));
    let rest = user.rest();
    if !rest.members().is_empty() {
        members.push(("unknown", shown(rest.into())));
    }
    Ok(members)
}

/// Takes where a request came from: what the server saw, and what it was told.
fn client<'a>(draft: &mut EventDraft<'a>, item: &mut Members<'a>) -> Result<(), Malformed> {
    let mut unverified = Object::new();
    let mut addresses = item.list("sourceIPs")?;
    if !addresses.iter().all(|address| address.as_str().is_some()) {
        return Err(Malformed);
    }
    if let Some(address) = addresses.pop() {
        let is_address = address.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
        if is_address {
            draft.put("ctx", "source", Object::from([("ip", address)]));
        } else {
            addresses.push(address);
        }
    }
    if !addresses.is_empty() {
        unverified.insert("source_ips", Value::Array(addresses));
    }
    if let Some(agent) = item.text("userAgent")? {
        unverified.insert("user_agent", Value::String(agent));
    }
    if !unverified.members().is_empty() {
        draft.put("ctx", "unverified", unverified);
    }
    Ok(())
}

/// Takes the annotations; one of them says that the server has cut the event.
fn annotations<'a>(draft: &mut EventDraft<'a>, item: &mut Members<'a>) -> Result<(), Malformed> {
    let Some(annotations) = item.members("annotations")?.map(Members::rest) else { return Ok(()) };
    let truncated = annotations.get("audit.k8s.io/truncated").and_then(Value::as_str);
    if truncated == Some("true") {
        draft.put("ctx", "truncated_at_source", Value::Bool(true));
    }
    draft.put("ctx", "annotations", shown(annotations.into()));
    Ok(())
}

/// How a request ended, as far as its stage says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    /// Nobody had said who he is.
    Unauthenticated,
    Unknown,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure | Self::Unauthenticated => "failure",
            Self::Unknown => "unknown",
        }
    }
}

/// Takes the answer to a request.
fn response<'a>(
    draft: &mut EventDraft<'a>,
    item: &mut Members<'a>,
    stage: &str,
) -> Result<Outcome, Malformed> {
    let mut response = Object::new();
    let mut outcome = if stage == "Panic" { Outcome::Failure } else { Outcome::Unknown };
    if let Some(status) = item.members("responseStatus")? {
        response = status.rest();
        let code = response.get("code").map(|code| code.as_natural().ok_or(Malformed));
        outcome = match (code.transpose()?, response.get("status").and_then(Value::as_str)) {
            _ if outcome == Outcome::Failure => outcome,
            (Some(401), _) => Outcome::Unauthenticated,
            (Some(1..400), _) => Outcome::Success,
            (Some(400..), _) | (_, Some("Failure")) => Outcome::Failure,
            (_, Some("Success")) => Outcome::Success,
            _ => Outcome::Unknown,
        };
    }
    let response = shown(response.into());
    let mut response = match response {
        Value::Object(response) => response,
        text => Object::from([("status", text)]),
    };
    if let Some(body) = item.take("responseObject") {
        response.insert("body", shown(body));
    }
    if !response.members().is_empty() {
        draft.put("ctx", "response", response);
    }
    Ok(outcome)
}

/// What a request was about, as far as action and class follow from it.
struct Reference<'a> {
    group: Cow<'a, str>,
    /// Empty where the request was about no resource.
    resource: Cow<'a, str>,
    subresource: Cow<'a, str>,
    path: String,
    impersonated: bool,
}

impl<'a> Reference<'a> {
    /// Takes what the request was about.
    fn take(
        draft: &mut EventDraft<'a>,
        item: &mut Members<'a>,
        impersonated: bool,
    ) -> Result<Self, Malformed> {
        let url = item.text("requestURI")?.unwrap_or_default();
        // Rules about paths look at the path alone.
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        if !path.is_empty() {
            draft.put("ctx", "url", path.to_owned());
        }
        if !query.is_empty() {
            draft.put("ctx", "query", query.to_owned());
        }
        let path = path.to_owned();
        let mut object = match item.members("objectRef")? {
            Some(object) => object,
            None => Members::of(Object::new().into())?,
        };
        let mut text = |name| object.text(name).map(Option::unwrap_or_default);
        let (group, resource, subresource) =
            (text("apiGroup")?, text("resource")?, text("subresource")?);
        let (namespace, name, uid) = (text("namespace")?, text("name")?, text("uid")?);
        let (version, revision) = (text("apiVersion")?, text("resourceVersion")?);

        let id = if resource.is_empty() {
            path.clone()
        } else {
            let kind = if group.is_empty() {
                resource.clone()
            } else {
                format!("{resource}.{group}").into()
            };
            let parts = [&*namespace, &*kind, &*name, &*subresource];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
        };
        let members = [
            ("group", group.clone()),
            ("id", id.into()),
            ("name", name),
            ("namespace", namespace),
            ("revision", revision),
            ("subresource", subresource.clone()),
            ("type", resource.clone()),
            ("uid", uid),
            ("version", version),
        ];
        for (name, text) in members.into_iter().filter(|(_, text)| !text.is_empty()) {
            draft.put("resource", name, Value::String(text));
        }
        let rest = object.rest();
        if !rest.members().is_empty() {
            draft.put("resource", "unknown", shown(rest.into()));
        }
        Ok(Self { group, resource, subresource, path, impersonated })
    }

    /// Returns the action: `kubernetes.pods.exec.create`, `kubernetes.nonresource.get`.
    fn action(&self, verb: &str) -> String {
        let resource = if self.resource.is_empty() { "nonresource" } else { &self.resource };
        let parts = ["kubernetes", resource, &self.subresource, verb];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let action = parts.join(".");
        let fits = Submitted::Act.accepts(&Value::from(action.as_str()));
        if fits { action } else { "kubernetes.request".to_owned() }
    }

    /// Returns the class. The table is in the manual.
    fn class(&self, verb: &str, outcome: Outcome) -> Option<&'static str> {
        let changes = CHANGES.contains(&verb);
        match (&*self.group, &*self.resource, &*self.subresource) {
            _ if outcome == Outcome::Unauthenticated => Some("authentication"),
            ("authentication.k8s.io", ..)
            | ("", "serviceaccounts", "token")
            | ("certificates.k8s.io", "certificatesigningrequests", _) => Some("authentication"),
            _ if self.impersonated || verb == "impersonate" => Some("privilege"),
            ("rbac.authorization.k8s.io", ..) | ("", "secrets" | "serviceaccounts", _)
                if changes =>
            {
                Some("privilege")
            }
            ("", "secrets", _)
            | (
                "",
                "pods",
                "exec" | "attach" | "portforward" | "log" | "proxy" | "ephemeralcontainers",
            )
            | ("", "services" | "nodes", "proxy") => Some("data-access"),
            ("", "", "") if is_health(&self.path) => Some("health"),
            _ if changes && !self.resource.is_empty() => Some("configuration"),
            _ => None,
        }
    }
}

/// Returns whether a path is where machines ask whether the server is alive.
fn is_health(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    matches!(first, "healthz" | "livez" | "readyz")
}
