//! What a producer submits, and the event that it becomes.
//!
//! A [`Submission`] is an object that was read. An [`Event`] has only the members that a producer may set,
//! each in its form, and nothing that looks like the server's: a type of its own, so that nothing
//! submitted can become a `policy` or any other record of the system.

use zeroize::Zeroizing;

use super::commit::{Commitment, Opening, Salt};
use super::form::Form;
use super::json::{self, JsonError, Object, Value};
use super::member::{ContentFault, SERVER_CONTEXT, SUBMISSION_LIMITS, Submitted, check_submitted};
use super::path::{Path, position};

/// What was submitted: any JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission<'a> {
    members: Object<'a>,
}

/// Why bytes are no submission. They are refused, and never recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// The bytes are no acceptable JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The value is no object.
    #[error("an event is a JSON object")]
    NotAnObject,
}

/// What keeps a submission from being recorded as it is. It is quarantined with the name of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FormFault {
    /// A member that only the server makes, at the top level or in `ctx`.
    ServerMember,
    /// A member that no record has.
    UnknownMember,
    /// A member without its form.
    Form(Submitted),
    /// A name at any depth that begins with `$`, or is too long.
    Content(ContentFault),
}

impl FormFault {
    /// Returns the name under which it stands among the rules of a record.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::ServerMember => "record/server-member",
            Self::UnknownMember => "record/unknown-member",
            Self::Content(ContentFault::Reserved) => "record/reserved-name",
            Self::Content(ContentFault::LongName) => "record/long-name",
            Self::Form(Submitted::Act) => "record/form-act",
            Self::Form(Submitted::Actor) => "record/form-actor",
            Self::Form(Submitted::Class) => "record/form-class",
            Self::Form(Submitted::Ctx) => "record/form-ctx",
            Self::Form(Submitted::Ot) => "record/form-ot",
            Self::Form(Submitted::Out) => "record/form-out",
            Self::Form(Submitted::Resource) => "record/form-resource",
            Self::Form(Submitted::Seq) => "record/form-seq",
            Self::Form(Submitted::Source) => "record/form-source",
        }
    }
}

/// Members that only the server makes, and the one that is reserved.
const SERVER_MEMBERS: [&str; 9] = ["v", "t", "id", "at", "pv", "vd", "vr", "red", "tok"];

/// The content of an event in its form, without anything of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `act`, `actor`, `class`, `ctx`, `ot`, `out`, `resource` and `seq`, as far as they are there.
    members: Object<'a>,
}

impl<'a> Submission<'a> {
    /// Parses what was submitted.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SubmissionError> {
        match json::parse(bytes, &SUBMISSION_LIMITS)? {
            Value::Object(members) => Ok(Self { members }),
            _ => Err(SubmissionError::NotAnObject),
        }
    }

    /// Takes the content of an event; returns every fault, sorted and once.
    pub fn event(mut self) -> Result<Event<'a>, Vec<FormFault>> {
        let mut faults = Vec::new();
        for (name, value) in self.members.members() {
            find_faults(name, value, &mut faults);
        }
        if !faults.is_empty() {
            faults.sort_unstable();
            faults.dedup();
            return Err(faults);
        }
        if let Some(claimed) = self.members.remove(Submitted::Source.name()) {
            let Value::Object(mut context) =
                self.members.remove("ctx").unwrap_or_else(|| Object::new().into())
            else {
                return Err(vec![FormFault::Form(Submitted::Ctx)]);
            };
            context.insert("claimed_source", claimed);
            self.members.insert("ctx", context.into());
        }
        Ok(Event { members: self.members })
    }
}

/// Adds what is wrong with one member.
fn find_faults(name: &str, value: &Value<'_>, faults: &mut Vec<FormFault>) {
    let Some(member) = Submitted::parse(name) else {
        let server = SERVER_MEMBERS.contains(&name) || name.starts_with('$');
        faults.push(if server { FormFault::ServerMember } else { FormFault::UnknownMember });
        return;
    };
    if !member.accepts(value) {
        faults.push(FormFault::Form(member));
    }
    if let Err(fault) = check_submitted(value) {
        faults.push(FormFault::Content(fault));
    }
    let context = value.as_object().filter(|_| member == Submitted::Ctx);
    if context.is_some_and(|context| SERVER_CONTEXT.iter().any(|name| context.get(name).is_some()))
    {
        faults.push(FormFault::ServerMember);
    }
}

impl<'a> Event<'a> {
    /// Returns the members.
    pub const fn members(&self) -> &Object<'a> {
        &self.members
    }

    /// Gives the event a class, if it has none.
    ///
    /// # Panics
    ///
    /// If the text is no class.
    pub fn classify(&mut self, class: &'a str) {
        assert!(super::name::is_class(class), "a class has its form");
        if self.members.get("class").is_none() {
            self.members.insert("class", class.into());
        }
    }

    /// Sets what the server adds to the event: the member `enriched` of `ctx`.
    pub fn enrich(&mut self, added: Object<'a>) {
        if self.members.get("ctx").is_none() {
            self.members.insert("ctx", Object::new().into());
        }
        if let Some(Value::Object(context)) = self.members.member_mut("ctx") {
            context.insert("enriched", added.into());
        }
    }

    /// Puts a commitment in the place of a value; returns what opens it.
    ///
    /// `None` if nothing stands there, or `null`, of which there is nothing to hide; if a commitment or token
    /// already does; or if the place is not inside `actor`, `resource` or `ctx`.
    pub fn commit(&mut self, path: &Path, salt: Salt) -> Option<Opening> {
        self.commit_with(path, || salt)
    }

    /// Commits with a salt that is drawn only if there is something to commit to. See [`Event::commit`].
    pub(in crate::core) fn commit_with(
        &mut self,
        path: &Path,
        salt: impl FnOnce() -> Salt,
    ) -> Option<Opening> {
        let place = self.place(path).filter(|value| **value != Value::Null)?;
        let value = Zeroizing::new(place.format().into_bytes());
        let opening = Opening { path: path.clone(), salt: salt(), value };
        *place = opening.commitment().to_value();
        Some(opening)
    }

    /// Puts another value in the place of one; returns what stood there. See [`Event::commit`].
    pub fn replace(&mut self, path: &Path, value: Value<'a>) -> Option<Value<'a>> {
        self.place(path).map(|place| core::mem::replace(place, value))
    }

    /// Takes a value out; in an array, `null` stands in its place. See [`Event::commit`].
    pub fn remove(&mut self, path: &Path) -> Option<Value<'a>> {
        self.place(path)?;
        let (parent, last) = path.split_last();
        let Some(parent) = parent else { return self.members.remove(&last) };
        match self.place(&parent)? {
            Value::Object(object) => object.remove(&last),
            Value::Array(values) => {
                values.get_mut(position(&last)?).map(|place| core::mem::replace(place, Value::Null))
            }
            _ => None,
        }
    }

    /// Returns the value at a place inside `actor`, `resource` or `ctx` that shows what was submitted.
    fn place(&mut self, path: &Path) -> Option<&mut Value<'a>> {
        let mut steps = path.steps();
        let first =
            steps.next().filter(|first| matches!(first.as_ref(), "actor" | "resource" | "ctx"))?;
        let place =
            steps.try_fold(self.members.member_mut(&first)?, |value, step| match value {
                form if Form::from_value(form).is_some() => None,
                Value::Object(object) => object.member_mut(&step),
                Value::Array(values) => values.get_mut(position(&step)?),
                _ => None,
            })?;
        Form::from_value(place).is_none().then_some(place)
    }

    /// Returns the members of `actor`, `resource` and `ctx` in which nothing was put in the place of
    /// anything, each with its length in canonical form: the longest first, of equals the first in order of
    /// paths.
    pub(super) fn longest(&self) -> Vec<(usize, Path)> {
        let objects = ["actor", "ctx", "resource"]
            .into_iter()
            .filter_map(|name| Some((Path::member(name), self.members.get(name)?.as_object()?)));
        let members = objects.flat_map(|(path, object)| {
            let whole = |value: &Value<'_>| check_submitted(value).is_ok();
            let members = object.members().iter().filter(move |(_, value)| whole(value));
            members.filter_map(move |(name, value)| Some((value.format().len(), path.child(name)?)))
        });
        let mut members: Vec<(usize, Path)> = members.collect();
        members
            .sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        members
    }
}

/// Commits to a whole submission, as a quarantined event shows it.
pub fn commit_raw(salt: Salt, submitted: &[u8]) -> (Commitment, Opening) {
    let path = Path::parse("/ctx/raw").expect("the path of a quarantined submission is a path");
    let opening = Opening { path, salt, value: Zeroizing::new(submitted.to_vec()) };
    (opening.commitment(), opening)
}
