//! Keys and rows of the key store.
//!
//! | key | row |
//! |---|---|
//! | `00` | u32 format version |
//! | `01` | u8 version (1), 16 bytes id of the KEK, the wrapped name secret, 8 bytes sum |
//! | `02`, u32 log | key row: the log's secret of identity, without a name |
//! | `03`, u32 log, 32 bytes tag of the subject | key row of a subject; its name is `lp16(origin) \|\| subject` |
//! | `04`, u32 log, u32 epoch, 32 bytes tag of the path | key row of tokens; its name is the path |
//! | `05`, u32 log, u32 epoch | u8 version (1): the keys of this epoch were destroyed |
//! | `06`, u32 log, 16 bytes id of a subject's key | u8 version (1), 32 bytes tag of the subject |
//! | `07` | u8 version (1): files may hold what was deleted or replaced, and are to be written anew |
//!
//! A key row is u8 version (1), the wrapped key, and the sealed name where there is one; its place, for
//! the tag, is its key before the tag, and for the sealed name the whole of it. See [`crate::core::record::Names`].

use std::path::Path;

use crate::{
    core::{
        number::LogNumber,
        origin::Origin,
        record::{
            KeyId, KeyPurpose, NAME_TAG_BYTES, Names, Secret, WRAP_NONCE_BYTES, WRAPPED_BYTES,
            long_name,
        },
    },
    store::{Fault, row},
};

use super::{Kek, KeyError, engine::KeyEngine};

/// Version of everything in the key store that is not versioned by row.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Key of the format version.
pub(super) const FORMAT: [u8; 1] = [0x00];

/// Key of the row that says which KEK wraps, and holds what hides names.
pub(super) const STORE: [u8; 1] = [0x01];

/// Key of the row that says that the files are to be written anew.
pub(super) const PENDING: [u8; 1] = [0x07];

/// First byte of the keys of identity secrets.
pub(super) const IDENTITY_KIND: u8 = 0x02;

/// First byte of the keys of subject keys.
pub(super) const SUBJECT_KIND: u8 = 0x03;

/// First byte of the keys of token keys.
pub(super) const TOKEN_KIND: u8 = 0x04;

/// First byte of the keys of destroyed epochs.
const DESTROYED_KIND: u8 = 0x05;

/// First byte of the keys that lead from the id of a subject's key to its row.
const FOUND_KIND: u8 = 0x06;

/// Version of a row.
const ROW_VERSION: u8 = 1;

/// Most bytes of a subject that stands as it is.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// What a key is kept for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Identity { log: LogNumber },
    Subject { log: LogNumber, origin: Origin, subject: String },
    Token { log: LogNumber, epoch: u32, path: String },
}

impl Named {
    /// Names a subject. One that is too long for a row stands as its hash.
    pub(super) fn subject(log: LogNumber, origin: &Origin, subject: &str) -> Self {
        let subject = match subject.len() {
            0..=SUBJECT_BYTES_MAX => subject.to_owned(),
            _ => long_name(subject),
        };
        Self::Subject { log, origin: origin.clone(), subject }
    }

    /// Returns what the key is wrapped for.
    pub(super) fn purpose(&self) -> KeyPurpose<'_> {
        match self {
            Self::Identity { log } => KeyPurpose::Identity { log: *log },
            Self::Subject { origin, subject, .. } => KeyPurpose::Subject { origin, subject },
            Self::Token { log, epoch, path } => {
                KeyPurpose::Token { log: *log, epoch: *epoch, path }
            }
        }
    }

    /// Returns the key of the row.
    pub(super) fn stored(&self, names: &Names) -> Box<[u8]> {
        let (place, name) = match self {
            Self::Identity { log } => return kind_and_log(IDENTITY_KIND, *log).into(),
            Self::Subject { log, subject, .. } => (kind_and_log(SUBJECT_KIND, *log), subject),
            Self::Token { log, epoch, path } => (epoch_place(TOKEN_KIND, *log, *epoch), path),
        };
        let tag = names.tag(&place, name);
        [place.as_slice(), &tag].concat().into()
    }

    /// Returns what is sealed in the row, if anything is.
    fn content(&self) -> Option<Vec<u8>> {
        match self {
            Self::Identity { .. } => None,
            Self::Subject { origin, subject, .. } => {
                let length = u16::try_from(origin.as_str().len()).expect("origins are short");
                let length = length.to_be_bytes();
                Some([&length, origin.as_str().as_bytes(), subject.as_bytes()].concat())
            }
            Self::Token { path, .. } => Some(path.as_bytes().to_vec()),
        }
    }

    /// Takes the key of a row and what was sealed in it.
    fn parse(stored: &[u8], content: &[u8]) -> Option<Self> {
        let (kind, rest) = stored.split_first()?;
        let (log, rest) = rest.split_first_chunk()?;
        let log = LogNumber(u32::from_be_bytes(*log));
        match *kind {
            IDENTITY_KIND => {
                (rest.is_empty() && content.is_empty()).then_some(Self::Identity { log })
            }
            SUBJECT_KIND => {
                let (length, names) = content.split_first_chunk()?;
                let (origin, subject) =
                    names.split_at_checked(u16::from_be_bytes(*length).into())?;
                let origin = Origin::parse(str::from_utf8(origin).ok()?).ok()?;
                let subject = str::from_utf8(subject).ok()?.to_owned();
                Some(Self::Subject { log, origin, subject })
            }
            TOKEN_KIND => {
                let (epoch, _) = rest.split_first_chunk()?;
                let path = str::from_utf8(content).ok()?.to_owned();
                Some(Self::Token { log, epoch: u32::from_be_bytes(*epoch), path })
            }
            _ => None,
        }
    }
}

/// Returns the row of the store itself.
pub(super) fn encode_store(kek: KeyId, wrapped: &[u8; WRAPPED_BYTES]) -> Vec<u8> {
    row::encode_source(&[kek.as_bytes().as_slice(), wrapped].concat())
}

/// Returns the secret that hides names, if it was wrapped under this KEK.
pub(super) fn open_names(
    engine: &KeyEngine,
    kek: &dyn Kek,
    dir: &Path,
) -> Result<Secret, KeyError> {
    let bytes = engine.get(&STORE)?.ok_or(KeyError::damage(Fault::Missing))?;
    let content = row::decode_source(&bytes).map_err(KeyError::damage)?;
    let length = Fault::Length { bytes: content.len() };
    let (stored, wrapped) = content.split_first_chunk().ok_or(KeyError::damage(length))?;
    let stored = KeyId::from_bytes(*stored);
    if stored != kek.id() {
        return Err(KeyError::OtherKek { dir: dir.to_owned(), stored, given: kek.id() });
    }
    Ok(kek.unwrap_key(&KeyPurpose::Names, wrapped)?)
}

/// Returns the row of a wrapped key. The nonce is of its name.
pub(super) fn encode(
    names: &Names,
    stored: &[u8],
    named: &Named,
    wrapped: &[u8; WRAPPED_BYTES],
    nonce: [u8; WRAP_NONCE_BYTES],
) -> Vec<u8> {
    let name = named.content().map(|content| names.seal(stored, &content, nonce));
    [&[ROW_VERSION], wrapped.as_slice(), &name.unwrap_or_default()].concat()
}

/// Returns the wrapped key and the sealed name of a row.
pub(super) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let length = Fault::Length { bytes: bytes.len() };
    match bytes.split_first() {
        Some((&ROW_VERSION, rest)) => {
            rest.split_at_checked(WRAPPED_BYTES).ok_or(KeyError::damage(length))
        }
        Some((&version, _)) => Err(KeyError::damage(Fault::Version { version })),
        None => Err(KeyError::damage(length)),
    }
}

/// Returns what a row's key is kept for.
pub(super) fn name(names: &Names, stored: &[u8], bytes: &[u8]) -> Result<Named, KeyError> {
    let (_, sealed) = split(bytes)?;
    let content = match stored.first() {
        Some(&IDENTITY_KIND) if sealed.is_empty() => zeroize::Zeroizing::default(),
        _ => names.open(stored, sealed).map_err(|_sealed| KeyError::damage(Fault::Sum))?,
    };
    Named::parse(stored, &content).ok_or(KeyError::damage(Fault::Content))
}

/// Returns the key in a row, and what it is kept for.
pub(super) fn open(
    names: &Names,
    kek: &dyn Kek,
    stored: &[u8],
    bytes: &[u8],
) -> Result<(Named, Secret), KeyError> {
    let named = name(names, stored, bytes)?;
    let (wrapped, _) = split(bytes)?;
    let key = kek.unwrap_key(&named.purpose(), wrapped)?;
    Ok((named, key))
}

/// Returns the row with its key wrapped by another KEK; the name stays as it is sealed.
pub(super) fn rewrapped(wrapped: &[u8; WRAPPED_BYTES], sealed: &[u8]) -> Vec<u8> {
    [&[ROW_VERSION], wrapped.as_slice(), sealed].concat()
}

/// Returns the key of the marker of a destroyed epoch.
pub(super) fn destroyed(log: LogNumber, epoch: u32) -> Vec<u8> {
    epoch_place(DESTROYED_KIND, log, epoch)
}

/// Returns the row of a marker: of a destroyed epoch, or of files that are to be written anew.
pub(super) const fn marker() -> [u8; 1] {
    [ROW_VERSION]
}

/// Returns what the keys of the token keys of an epoch begin with.
pub(super) fn epoch(log: LogNumber, epoch: u32) -> Vec<u8> {
    epoch_place(TOKEN_KIND, log, epoch)
}

/// Returns the key of the row that leads to the subject of a key.
pub(super) fn found(log: LogNumber, id: KeyId) -> Vec<u8> {
    let mut stored = kind_and_log(FOUND_KIND, log);
    stored.extend_from_slice(id.as_bytes());
    stored
}

/// Returns the row that leads to a subject's row.
pub(super) fn tag_of(subject: &[u8]) -> Vec<u8> {
    let tag = subject.last_chunk::<NAME_TAG_BYTES>().expect("a subject's key ends in its tag");
    [&[ROW_VERSION], tag.as_slice()].concat()
}

/// Returns the key of the row that such a row leads to.
pub(super) fn subject_of(log: LogNumber, row: &[u8]) -> Result<Box<[u8]>, KeyError> {
    let tag = row.strip_prefix(&[ROW_VERSION]).filter(|tag| tag.len() == NAME_TAG_BYTES);
    let tag = tag.ok_or(KeyError::damage(Fault::Length { bytes: row.len() }))?;
    Ok([&kind_and_log(SUBJECT_KIND, log), tag].concat().into())
}

/// Puts a kind before a log number.
fn kind_and_log(kind: u8, log: LogNumber) -> Vec<u8> {
    [&[kind], log.0.to_be_bytes().as_slice()].concat()
}

/// Puts a kind before a log number and an epoch.
fn epoch_place(kind: u8, log: LogNumber, epoch: u32) -> Vec<u8> {
    [&[kind], log.0.to_be_bytes().as_slice(), &epoch.to_be_bytes()].concat()
}
