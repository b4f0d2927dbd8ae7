//! The audit policy of a Kubernetes API server (`audit.k8s.io/v1`).
//!
//! The first rule that matches a request decides how much of it is logged; a request that none matches is
//! not logged. A check asks for some requests what everybody's get at least: the rules that are for
//! everyone, down to the first that no namespace and no name limits.

use std::collections::BTreeSet;

use super::check::Findings;
use super::node::{Node, Place};

/// How much of a request is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    None,
    Metadata,
    Request,
    Response,
}

/// A request that is asked about.
struct Probe {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
}

/// One rule.
struct Rule<'a> {
    node: &'a Node,
    place: Place,
    level: Option<Level>,
}

/// Whom a rule is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    Everyone,
    /// Parts of the cluster, as `system:kube-proxy`.
    System,
    /// Who has not said who it is.
    Anonymous,
    /// People, and the group that may do everything.
    People,
}

const fn probe(verb: &'static str, group: &'static str, resource: &'static str) -> Probe {
    Probe { verb, group, resource }
}

/// Changes of what may be done, by whom.
const ROLES: &[Probe] = &[
    probe("create", "rbac.authorization.k8s.io", "roles"),
    probe("update", "rbac.authorization.k8s.io", "clusterroles"),
    probe("create", "rbac.authorization.k8s.io", "rolebindings"),
    probe("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    probe("patch", "rbac.authorization.k8s.io", "clusterrolebindings"),
    probe("delete", "rbac.authorization.k8s.io", "rolebindings"),
];

/// Ways into a running container.
const SHELLS: &[Probe] = &[
    probe("create", "", "pods/exec"),
    probe("get", "", "pods/exec"),
    probe("create", "", "pods/attach"),
    probe("create", "", "pods/portforward"),
    probe("create", "", "pods/ephemeralcontainers"),
];

/// Credentials that are made.
const CREDENTIALS: &[Probe] = &[
    probe("create", "", "serviceaccounts"),
    probe("create", "", "serviceaccounts/token"),
    probe("create", "certificates.k8s.io", "certificatesigningrequests"),
    probe("update", "certificates.k8s.io", "certificatesigningrequests/approval"),
];

/// Objects that are made and removed.
const OBJECTS: &[Probe] = &[
    probe("create", "", "namespaces"),
    probe("delete", "", "namespaces"),
    probe("create", "", "pods"),
    probe("delete", "", "pods"),
    probe("create", "apps", "deployments"),
    probe("delete", "apps", "deployments"),
    probe("delete", "apps", "daemonsets"),
];

/// Reads of what is secret.
const SECRET_READS: &[Probe] =
    &[probe("get", "", "secrets"), probe("list", "", "secrets"), probe("watch", "", "secrets")];

/// Requests whose bodies hold secrets.
const SECRETS: &[Probe] = &[
    probe("get", "", "secrets"),
    probe("create", "", "secrets"),
    probe("update", "", "secrets"),
    probe("patch", "", "secrets"),
    probe("create", "", "configmaps"),
    probe("create", "", "serviceaccounts/token"),
    probe("create", "authentication.k8s.io", "tokenreviews"),
];

/// Changes of what every later request passes through.
const ADMISSION: &[Probe] = &[
    probe("create", "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    probe("update", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    probe("delete", "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
];

/// Addresses that say nothing but that the server is there.
const HEALTH: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/metrics"];

impl<'a> Rule<'a> {
    fn new(node: &'a Node) -> Self {
        let level = match node.word("level") {
            "None" => Some(Level::None),
            "Metadata" => Some(Level::Metadata),
            "Request" => Some(Level::Request),
            "RequestResponse" => Some(Level::Response),
            _ => None,
        };
        let place = node.member("level").map_or(node.place, |level| level.place);
        Self { node, place, level }
    }

    fn has(&self, name: &str) -> bool {
        self.node.member(name).is_some_and(|list| !list.items().is_empty())
    }

    /// Returns whom the rule is for; of several the one that matters most.
    fn whom(&self) -> Whom {
        let one = |name: &str| match name {
            "system:authenticated" => Whom::Everyone,
            "system:anonymous" | "system:unauthenticated" => Whom::Anonymous,
            "system:masters" => Whom::People,
            _ if name.starts_with("system:") => Whom::System,
            _ => Whom::People,
        };
        let users: Vec<Whom> = self.node.words("users").map(one).collect();
        let groups: Vec<Whom> = self.node.words("userGroups").map(one).collect();
        let most = |names: &[Whom]| {
            let order = [Whom::Everyone, Whom::People, Whom::Anonymous];
            order.into_iter().find(|whom| names.contains(whom)).unwrap_or(Whom::System)
        };
        match (&users[..], &groups[..]) {
            ([], []) => Whom::Everyone,
            ([], names) | (names, []) => most(names),
            // Both have to hold: users, limited to those in a group.
            (users, _) => most(users),
        }
    }

    /// Returns whether the rule matches a request, of some namespace and name.
    fn matches(&self, probe: &Probe) -> bool {
        let Probe { verb, group, resource } = probe;
        let any = |name: &str| name == "*";
        if self.has("verbs") && !self.node.words("verbs").any(|one| one == *verb || any(one)) {
            return false;
        }
        if !self.has("resources") {
            return self.has("namespaces") || !self.has("nonResourceURLs");
        }
        let kinds = self.node.member("resources").map_or(&[][..], Node::items);
        kinds.iter().any(|kind| {
            let names: Vec<&str> = kind.words("resources").collect();
            kind.word("group") == *group
                && (names.is_empty() || names.iter().any(|name| is_resource(name, resource)))
        })
    }

    /// Returns whether a namespace or a name limits the rule.
    fn is_limited(&self) -> bool {
        let kinds = self.node.member("resources").map_or(&[][..], Node::items);
        let named = |kind: &Node| kind.words("resourceNames").next().is_some();
        self.has("namespaces") || kinds.iter().any(named)
    }

    /// Returns whether every request matches the rule.
    fn is_for_all(&self) -> bool {
        let limits = ["users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs"];
        !limits.iter().any(|name| self.has(name))
    }
}

/// Returns whether the name in a rule means a resource, `pods/*` and `*/scale` included.
fn is_resource(name: &str, resource: &str) -> bool {
    let (kind, sub) = resource.split_once('/').unwrap_or((resource, ""));
    match name.split_once('/') {
        None => name == "*" || name == resource,
        Some(("*", of)) => !sub.is_empty() && of == sub,
        Some((of, "*")) => !sub.is_empty() && of == kind,
        Some(_) => name == resource,
    }
}

fn rules(document: &Node) -> impl Iterator<Item = Rule<'_>> {
    document.member("rules").map_or(&[][..], Node::items).iter().map(Rule::new)
}

/// Returns the rules that decide about everybody's requests of one form.
fn deciding<'a>(document: &'a Node, probe: &Probe) -> Vec<Rule<'a>> {
    let mut found = Vec::new();
    for rule in rules(document) {
        if rule.whom() == Whom::Everyone && rule.matches(probe) {
            let is_last = !rule.is_limited();
            found.push(rule);
            if is_last {
                break;
            }
        }
    }
    found
}

/// Reports rules that log less of some requests than they should; what no rule matches is not theirs.
fn at_least(document: &Node, probes: &[Probe], least: Level, out: &mut Findings) {
    let mut told = BTreeSet::new();
    for probe in probes {
        for rule in deciding(document, probe) {
            let Some(level) = rule.level.filter(|level| *level < least) else { continue };
            if told.insert(rule.place) {
                let Probe { verb, resource, .. } = probe;
                out.breach(
                    rule.place,
                    format!("{verb} of {resource} is logged at {level}, not at {least}"),
                );
            }
        }
    }
}

impl core::fmt::Display for Level {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::Response => "RequestResponse",
        })
    }
}

/// Reports another version than the one that API servers read.
pub(super) fn version(document: &Node, out: &mut Findings) {
    let version = document.word("apiVersion");
    if version != "audit.k8s.io/v1" {
        let place = document.member("apiVersion").map_or(document.place, |node| node.place);
        out.breach(place, format!("{version} is not read by a current API server"));
    }
}

/// Reports levels that are none.
pub(super) fn levels(document: &Node, out: &mut Findings) {
    for rule in rules(document).filter(|rule| rule.level.is_none()) {
        out.breach(rule.place, format!("{:?} is no level", rule.node.word("level")));
    }
}

/// Reports a policy whose last word is not for every request.
pub(super) fn catch_all(document: &Node, out: &mut Findings) {
    let is_logged = |rule: &Rule<'_>| rule.level.is_none_or(|level| level >= Level::Metadata);
    if !rules(document).any(|rule| rule.is_for_all() && is_logged(&rule)) {
        let place = document.member("rules").map_or(document.place, |rules| rules.place);
        out.breach(place, "a request that no rule matches is not logged, and no rule matches all");
    }
}

/// Reports rules that write secrets into the log.
pub(super) fn secrets(document: &Node, out: &mut Findings) {
    let mut told = BTreeSet::new();
    for probe in SECRETS {
        for rule in rules(document).filter(|rule| rule.matches(probe)) {
            let is_last = rule.whom() == Whom::Everyone && !rule.is_limited();
            if rule.level > Some(Level::Metadata) && told.insert(rule.place) {
                out.breach(rule.place, format!("the bodies of {} are logged", probe.resource));
            }
            if is_last {
                break;
            }
        }
    }
}

/// Reports reads of secrets that are not logged.
pub(super) fn secret_reads(document: &Node, out: &mut Findings) {
    at_least(document, SECRET_READS, Level::Metadata, out);
}

/// Reports changes of roles whose content is not logged.
pub(super) fn roles(document: &Node, out: &mut Findings) {
    at_least(document, ROLES, Level::Request, out);
}

/// Reports ways into containers that are not logged.
pub(super) fn shells(document: &Node, out: &mut Findings) {
    at_least(document, SHELLS, Level::Metadata, out);
}

/// Reports credentials whose making is not logged.
pub(super) fn credentials(document: &Node, out: &mut Findings) {
    at_least(document, CREDENTIALS, Level::Metadata, out);
}

/// Reports objects that come and go unseen.
pub(super) fn objects(document: &Node, out: &mut Findings) {
    at_least(document, OBJECTS, Level::Metadata, out);
}

/// Reports changes of admission whose content is not logged.
pub(super) fn admission(document: &Node, out: &mut Findings) {
    at_least(document, ADMISSION, Level::Request, out);
}

/// Reports rules that log nothing of what some people do.
pub(super) fn administrators(document: &Node, out: &mut Findings) {
    for rule in rules(document) {
        if rule.level == Some(Level::None) && rule.whom() == Whom::People {
            out.breach(rule.place, "people, or the group of administrators, are not logged");
        }
    }
}

/// Reports rules that log nothing of who has not said who it is, beyond signs of life.
pub(super) fn anonymous(document: &Node, out: &mut Findings) {
    let is_health = |url: &str| HEALTH.iter().any(|health| url.starts_with(health));
    for rule in rules(document) {
        let only_health = rule.has("nonResourceURLs")
            && !rule.has("resources")
            && rule.node.words("nonResourceURLs").all(is_health);
        if rule.level == Some(Level::None) && rule.whom() == Whom::Anonymous && !only_health {
            out.breach(rule.place, "requests without a known user are not logged");
        }
    }
}

/// Reports the stage that holds the outcome, where it is left out.
pub(super) fn outcome(document: &Node, out: &mut Findings) {
    let all = core::iter::once(document).chain(rules(document).map(|rule| rule.node));
    for node in all {
        let stages = node.member("omitStages").map_or(&[][..], Node::items);
        for stage in stages.iter().filter(|stage| stage.text() == Some("ResponseComplete")) {
            out.breach(stage.place, "the outcome is left out with the stage ResponseComplete");
        }
    }
}

/// Reports rules behind one that matches everything.
pub(super) fn reachable(document: &Node, out: &mut Findings) {
    let behind = rules(document).skip_while(|rule| !rule.is_for_all()).skip(1);
    behind.for_each(|rule| out.breach(rule.place, "the rule before matches everything"));
}
