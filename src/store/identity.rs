//! Rows that recognise an entry which is submitted again.

use crate::core::{
    hash::{HASH_BYTES, TreeHash},
    number::{LeafIndex, LogNumber},
};

/// Offset of the namespace in a key, behind the number of the log.
const NAMESPACE_AT: usize = 4;

/// Namespace of idempotency keys.
const IDEMPOTENCY: u8 = 1;

/// Namespace of entry hashes.
const ENTRY_HASH: u8 = 2;

/// Namespace of idempotency keys of what was counted and not recorded.
const COUNTED: u8 = 3;

/// Namespace of what sources name at home.
const SOURCE: u8 = 4;

/// Namespace of other content under a key that is taken.
const CONFLICTING: u8 = 5;

/// Length byte of a principal that is kept as its SHA-256.
const PRINCIPAL_HASHED: u8 = 0xff;

/// What makes two submissions the same, as the key of a stored row.
///
/// # Format
///
/// u32 log number, u8 namespace (1 idempotency key, 2 entry hash, 3 something that was counted and not recorded, 4
/// key of a source, 5 other content under a key that is taken), u8 length of the principal, the principal, 32
/// bytes: SHA-256 of the idempotency key, or the leaf hash, or in namespace 3 SHA-256 of the former and the tag. A
/// principal of 255 bytes and more is kept as its SHA-256 under the length 255, which no shorter one has.
///
/// Of a source its name stands in the place of the principal. In namespace 5 the 32 bytes are the SHA-256 of the
/// namespace and the 32 bytes that the key has by itself, and of the tag of the content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey(Box<[u8]>);

/// Which entry has an identity.
///
/// # Format
///
/// u64 index, 32 bytes tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// Index of the first entry with the identity; of what was counted, the index that came next.
    pub index: LeafIndex,
    /// What tells other content under the same idempotency key: the leaf hash on opaque logs.
    pub tag: TreeHash,
}

impl IdentityKey {
    /// Returns the identity of what `principal` submits under an idempotency key.
    pub fn idempotency(log: LogNumber, principal: &[u8], key: &[u8]) -> Self {
        Self::encode(log, IDEMPOTENCY, principal, &TreeHash::digest(key))
    }

    /// Returns the identity of what a source of this name calls by a key.
    pub fn source(log: LogNumber, name: &str, key: &[u8]) -> Self {
        Self::encode(log, SOURCE, name.as_bytes(), &TreeHash::digest(key))
    }

    /// Returns the identity of content with this tag, where the key leads to other content.
    ///
    /// # Panics
    ///
    /// If it is such an identity already: that of content has no other content.
    #[must_use]
    pub fn conflicting(&self, tag: &TreeHash) -> Self {
        let mut key = self.0.to_vec();
        let namespace = key.get_mut(NAMESPACE_AT).expect("the namespace stands behind the log");
        let of = core::mem::replace(namespace, CONFLICTING);
        assert_ne!(of, CONFLICTING, "content under a key has no other content");
        let hash: &mut [u8; HASH_BYTES] =
            key.last_chunk_mut().expect("an identity ends with a hash");
        let named = [&[of], hash.as_slice(), tag.as_bytes()].concat();
        *hash = *TreeHash::digest(&named).as_bytes();
        Self(key.into_boxed_slice())
    }

    /// Returns the identity of an entry by its leaf hash, whoever submits it.
    pub fn entry_hash(log: LogNumber, leaf: &TreeHash) -> Self {
        Self::encode(log, ENTRY_HASH, &[], leaf)
    }

    /// Returns the identity that remembers that what has this tag was counted under the same key. The key itself
    /// stays free for something that is recorded.
    #[must_use]
    pub fn counted(&self, tag: &TreeHash) -> Self {
        let mut key = self.0.to_vec();
        if let Some(namespace) = key.get_mut(NAMESPACE_AT) {
            *namespace = COUNTED;
        }
        if let Some(hash) = key.last_chunk_mut() {
            let both = [hash.as_slice(), tag.as_bytes()].concat();
            *hash = *TreeHash::digest(&both).as_bytes();
        }
        Self(key.into_boxed_slice())
    }

    /// Returns whether it is that of something that was counted.
    pub fn is_counted(&self) -> bool {
        self.0.get(NAMESPACE_AT) == Some(&COUNTED)
    }

    /// Puts the parts of a key together.
    fn encode(log: LogNumber, namespace: u8, principal: &[u8], hash: &TreeHash) -> Self {
        let hashed = TreeHash::digest(principal);
        let (length, principal) = match u8::try_from(principal.len()) {
            Ok(length) if length < PRINCIPAL_HASHED => (length, principal),
            Ok(_) | Err(_) => (PRINCIPAL_HASHED, hashed.as_bytes().as_slice()),
        };
        let mut key = Vec::with_capacity(6 + principal.len() + HASH_BYTES);
        key.extend(super::key::head(log));
        key.extend([namespace, length]);
        key.extend(principal);
        key.extend(hash.as_bytes());
        Self(key.into_boxed_slice())
    }

    /// Takes a stored key.
    pub(super) fn from_stored(key: &[u8]) -> Self {
        Self(key.into())
    }

    /// Returns the stored key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the log that the identity belongs to.
    pub fn log(&self) -> Option<LogNumber> {
        super::key::parse_head(self.0.first_chunk::<4>()?)
    }

    /// Returns whether the key is well-formed and of entry-hash identity, with the leaf hash.
    pub fn leaf_hash(&self) -> Option<TreeHash> {
        let rest = self.0.get(4..)?.strip_prefix(&[ENTRY_HASH, 0])?;
        TreeHash::from_slice(rest)
    }
}

impl IdentityRow {
    /// Length of an encoded row.
    pub const ENCODED_BYTES: usize = size_of::<u64>() + HASH_BYTES;

    /// Returns the stored bytes.
    pub fn encode(&self) -> [u8; Self::ENCODED_BYTES] {
        let mut bytes = [0; Self::ENCODED_BYTES];
        let (index, tag) = bytes.split_at_mut(size_of::<u64>());
        index.copy_from_slice(&self.index.get().to_be_bytes());
        tag.copy_from_slice(self.tag.as_bytes());
        bytes
    }

    /// Takes stored bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (index, tag) = bytes.split_first_chunk()?;
        let index = LeafIndex::new(u64::from_be_bytes(*index))?;
        Some(Self { index, tag: TreeHash::from_slice(tag)? })
    }
}
