//! The protocol only grows.
//!
//! `proto/attestree.v1.binpb` is the descriptor set that clients were built against. A change of
//! `proto/` that would make an old client misread a message is refused; additions are written into it
//! by `ATTESTREE_REGENERATE=1 cargo test --release --test suite descriptors`.

use std::{collections::BTreeMap, fs, path::Path};

use attestree::proto::DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};

use crate::vector;

/// Every message, enum and method of our package, by full name.
#[derive(Default)]
struct Schema {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
    methods: BTreeMap<String, MethodDescriptorProto>,
}

impl Schema {
    fn of(set: &FileDescriptorSet) -> Self {
        let mut schema = Self::default();
        for file in set.file.iter().filter(|file| file.package() == "attestree.v1") {
            for message in &file.message_type {
                schema.add_message("", message);
            }
            for enumeration in &file.enum_type {
                schema.enums.insert(enumeration.name().to_owned(), enumeration.clone());
            }
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}", service.name(), method.name());
                    schema.methods.insert(name, method.clone());
                }
            }
        }
        schema
    }

    fn add_message(&mut self, outer: &str, message: &DescriptorProto) {
        let name = format!("{outer}{}", message.name());
        for inner in &message.nested_type {
            self.add_message(&format!("{name}."), inner);
        }
        for enumeration in &message.enum_type {
            self.enums.insert(format!("{name}.{}", enumeration.name()), enumeration.clone());
        }
        self.messages.insert(name, message.clone());
    }
}

/// Returns what an old client would misread.
fn breaks(old: &FileDescriptorSet, new: &FileDescriptorSet) -> Vec<String> {
    let (old, new) = (Schema::of(old), Schema::of(new));
    let mut broken = Vec::new();
    for (name, message) in &old.messages {
        match new.messages.get(name) {
            None => broken.push(format!("message {name} was removed")),
            Some(now) => compare_messages(name, message, now, &mut broken),
        }
    }
    for (name, enumeration) in &old.enums {
        match new.enums.get(name) {
            None => broken.push(format!("enum {name} was removed")),
            Some(now) => compare_enums(name, enumeration, now, &mut broken),
        }
    }
    for (name, method) in &old.methods {
        let shape = |method: &MethodDescriptorProto| {
            let streams = (method.client_streaming(), method.server_streaming());
            (method.input_type().to_owned(), method.output_type().to_owned(), streams)
        };
        match new.methods.get(name) {
            None => broken.push(format!("method {name} was removed")),
            Some(now) if shape(now) != shape(method) => {
                broken.push(format!("method {name} was retyped"));
            }
            Some(_) => {}
        }
    }
    broken
}

fn compare_messages(
    name: &str,
    old: &DescriptorProto,
    new: &DescriptorProto,
    broken: &mut Vec<String>,
) {
    // What a reader of the wire and a user of generated code rely on.
    let shape = |message: &DescriptorProto, field: &FieldDescriptorProto| {
        let oneof = field.oneof_index.and_then(|index| {
            Some(message.oneof_decl.get(usize::try_from(index).ok()?)?.name().to_owned())
        });
        (
            field.name().to_owned(),
            field.r#type(),
            field.label(),
            field.type_name().to_owned(),
            oneof,
        )
    };
    for field in &old.field {
        let number = field.number();
        match new.field.iter().find(|now| now.number() == number) {
            Some(now) if shape(new, now) == shape(old, field) => {}
            Some(now) => broken.push(format!(
                "{name}.{} = {number} was renamed, retyped or reused as {}",
                field.name(),
                now.name()
            )),
            None => {
                let number_kept = new
                    .reserved_range
                    .iter()
                    .any(|range| (range.start()..range.end()).contains(&number));
                let name_kept = new.reserved_name.iter().any(|reserved| reserved == field.name());
                if !number_kept || !name_kept {
                    broken.push(format!(
                        "{name}.{} = {number} was removed without reserving both",
                        field.name()
                    ));
                }
            }
        }
    }
    for range in &old.reserved_range {
        for field in
            new.field.iter().filter(|field| (range.start()..range.end()).contains(&field.number()))
        {
            broken.push(format!(
                "{name}.{} uses the reserved number {}",
                field.name(),
                field.number()
            ));
        }
    }
    for field in
        new.field.iter().filter(|field| old.reserved_name.iter().any(|name| name == field.name()))
    {
        broken.push(format!("{name}.{} uses a reserved name", field.name()));
    }
}

fn compare_enums(
    name: &str,
    old: &EnumDescriptorProto,
    new: &EnumDescriptorProto,
    broken: &mut Vec<String>,
) {
    for value in &old.value {
        let now = new.value.iter().find(|now| now.number() == value.number());
        match now {
            Some(now) if now.name() == value.name() => {}
            Some(now) => broken.push(format!("{name}: {} became {}", value.name(), now.name())),
            None => {
                let number = value.number();
                let kept = new
                    .reserved_range
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(&number));
                if !kept {
                    broken
                        .push(format!("{name}: {} was removed without reserving it", value.name()));
                }
            }
        }
    }
}

fn built() -> FileDescriptorSet {
    FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap()
}

/// The set as it is committed: without comments, which are no part of the protocol.
fn bare(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

#[test]
fn the_protocol_did_not_break() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/attestree.v1.binpb");
    let built = bare(built());
    let committed = FileDescriptorSet::decode(fs::read(&path).unwrap().as_slice()).unwrap();
    assert_eq!(breaks(&committed, &built), Vec::<String>::new());
    vector::compare(&path, &built.encode_to_vec());
}

#[test]
fn every_zero_is_unspecified() {
    let schema = Schema::of(&built());
    assert!(!schema.enums.is_empty());
    for (name, enumeration) in &schema.enums {
        let zero = enumeration.value.iter().find(|value| value.number() == 0).unwrap();
        assert!(zero.name().ends_with("_UNSPECIFIED"), "{name} has {} at 0", zero.name());
    }
}

#[test]
fn every_field_and_method_has_a_comment() {
    for file in built().file.iter().filter(|file| file.package() == "attestree.v1") {
        let comments = &file.source_code_info.as_ref().unwrap().location;
        for location in comments {
            // Paths: 4.m.2.f a field, 5.e.2.v an enum value, 6.s.2.m a method (descriptor.proto).
            let named = matches!(location.path.as_slice(), [4..=6, _, 2, _]);
            assert!(
                !named || location.leading_comments().trim().ends_with('.'),
                "{} {:?} has no comment of whole sentences",
                file.name(),
                location.path
            );
        }
    }
}

/// Finds a message of the set to spoil it.
fn message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    let messages = set.file.iter_mut().flat_map(|file| &mut file.message_type);
    messages.into_iter().find(|message| message.name() == name).unwrap()
}

#[test]
fn the_comparison_notices_each_kind_of_break() {
    let old = built();
    assert_eq!(breaks(&old, &old), Vec::<String>::new());
    let spoilt = |spoil: fn(&mut DescriptorProto)| {
        let mut new = old.clone();
        spoil(message(&mut new, "AppendRequest"));
        breaks(&old, &new)
    };
    let renumbered = spoilt(|message| message.field[1].number = Some(9));
    assert_eq!(renumbered, ["AppendRequest.entry = 2 was removed without reserving both"]);
    let retyped = spoilt(|message| {
        message.field[1].set_type(prost_types::field_descriptor_proto::Type::String);
    });
    assert_eq!(retyped.len(), 1);
    let removed = spoilt(|message| drop(message.field.remove(2)));
    assert_eq!(removed, ["AppendRequest.idempotency_key = 3 was removed without reserving both"]);
    let reserved = spoilt(|message| {
        let gone = message.field.remove(2);
        message.reserved_name.push(gone.name().to_owned());
        let range = prost_types::descriptor_proto::ReservedRange { start: Some(3), end: Some(4) };
        message.reserved_range.push(range);
    });
    assert_eq!(reserved, Vec::<String>::new());
    let grown = spoilt(|message| {
        let mut field = message.field[0].clone();
        (field.name, field.number) = (Some("more".to_owned()), Some(9));
        message.field.push(field);
    });
    assert_eq!(grown, Vec::<String>::new());

    let mut reused = old.clone();
    let range = prost_types::descriptor_proto::ReservedRange { start: Some(8), end: Some(9) };
    message(&mut reused, "AppendRequest").reserved_range.push(range);
    let mut used = reused.clone();
    let mut field = message(&mut used, "AppendRequest").field[0].clone();
    (field.name, field.number) = (Some("again".to_owned()), Some(8));
    message(&mut used, "AppendRequest").field.push(field);
    assert_eq!(breaks(&reused, &used), ["AppendRequest.again uses the reserved number 8"]);
}
