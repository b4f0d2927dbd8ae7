//! The files of a policy, as they are digested and carried in the log.
//!
//! ```text
//! B      = for each file, in the order of the bytes of the paths: lp16(path) || lp32(content)
//! digest = SHA-256(0x07 || B)
//! ```
//!
//! # Invariants
//!
//! - 1 to [`FILES_MAX`] files with different paths; relative ones, whose segments are not empty, `.` or `..`.
//! - `B` has at most [`POLICY_BYTES_MAX`] bytes, a file at most [`FILE_BYTES_MAX`].
//! - The same files make the same digest wherever they were, and other files another one.

use std::collections::BTreeMap;

use crate::core::hash::TreeHash;
use crate::core::record::{PART_BYTES, POLICY_BYTES_MAX, PolicyDigest, PolicyPart};

/// Most files of a policy.
pub const FILES_MAX: usize = 1_024;

/// Most bytes of one file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a path.
const PATH_BYTES_MAX: usize = 255;

/// Domain of policies among everything that is hashed.
const POLICY_DOMAIN: u8 = 0x07;

/// The files of a policy by their paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

/// Why files are no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There are no files, or too many.
    #[error("a policy has 1 to {FILES_MAX} files, not {files}")]
    Files {
        /// How many there are.
        files: usize,
    },
    /// A path is not a plain relative one.
    #[error(
        "{path:?} can't be the path of a file: 1 to 255 bytes, relative, without empty segments, '.' or '..'"
    )]
    Path {
        /// The path.
        path: String,
    },
    /// One file is too long.
    #[error("{path:?} has {bytes} bytes; a file of a policy has at most {FILE_BYTES_MAX}")]
    File {
        /// The path.
        path: String,
        /// Its length.
        bytes: usize,
    },
    /// The files are too long together.
    #[error(
        "the policy has {bytes} bytes with the names of its files; the log takes {POLICY_BYTES_MAX}"
    )]
    Bytes {
        /// Their length.
        bytes: usize,
    },
    /// Bytes are not the encoding of files.
    #[error("the bytes are no files of a policy: they end early, or a file is out of order")]
    Form,
    /// Parts are missing, out of order, or of another policy.
    #[error("the parts do not make the policy of this digest")]
    Parts,
}

impl Bundle {
    /// Takes files with their paths.
    pub fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, BundleError> {
        let files: BTreeMap<String, Vec<u8>> = files.into_iter().collect();
        if files.is_empty() || files.len() > FILES_MAX {
            return Err(BundleError::Files { files: files.len() });
        }
        for (path, content) in &files {
            if !is_path(path) {
                return Err(BundleError::Path { path: path.clone() });
            }
            if content.len() > FILE_BYTES_MAX {
                return Err(BundleError::File { path: path.clone(), bytes: content.len() });
            }
        }
        let bytes = files.iter().map(|(path, content)| 2 + path.len() + 4 + content.len()).sum();
        if bytes > POLICY_BYTES_MAX {
            Err(BundleError::Bytes { bytes })
        } else {
            Ok(Self { files })
        }
    }

    /// Decodes the bytes that are digested. One policy has one encoding.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BundleError> {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk().ok_or(BundleError::Form)?;
            let (path, rest) = rest
                .split_at_checked(u16::from_be_bytes(*length).into())
                .ok_or(BundleError::Form)?;
            let (length, rest) = rest.split_first_chunk().ok_or(BundleError::Form)?;
            let length = usize::try_from(u32::from_be_bytes(*length))
                .map_err(|_narrow| BundleError::Form)?;
            let (content, rest) = rest.split_at_checked(length).ok_or(BundleError::Form)?;
            let path = str::from_utf8(path).map_err(|_bytes| BundleError::Form)?.to_owned();
            if files.last().is_some_and(|(last, _)| *last >= path) {
                return Err(BundleError::Form);
            }
            files.push((path, content.to_vec()));
            bytes = rest;
        }
        Self::new(files)
    }

    /// Returns the bytes that are digested.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, content) in &self.files {
            let length = u16::try_from(path.len()).expect("a path is short");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(path.as_bytes());
            let length = u32::try_from(content.len()).expect("a file is bounded");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    /// Returns the files by their paths.
    pub const fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Returns the digest that names the policy.
    pub fn digest(&self) -> PolicyDigest {
        digest(&self.encode())
    }

    /// Returns what carries the policy in the log, in order.
    pub fn parts(&self) -> Vec<PolicyPart> {
        let bytes = self.encode();
        let digest = digest(&bytes);
        let chunks = bytes.chunks(PART_BYTES);
        let parts = u64::try_from(chunks.len()).expect("a policy has few parts");
        (0..)
            .zip(chunks)
            .map(|(part, chunk)| PolicyPart { digest, part, parts, bytes: chunk.to_vec() })
            .collect()
    }

    /// Puts a policy together again from its parts.
    pub fn assemble(parts: &[PolicyPart], wanted: PolicyDigest) -> Result<Self, BundleError> {
        let count = u64::try_from(parts.len()).map_err(|_wide| BundleError::Parts)?;
        let in_order = |(number, part): (u64, &PolicyPart)| {
            part.part == number && part.parts == count && part.digest == wanted
        };
        let bytes = parts.iter().flat_map(|part| part.bytes.iter().copied());
        let bytes: Vec<u8> = bytes.take(POLICY_BYTES_MAX + 1).collect();
        if !(0..).zip(parts).all(in_order) || digest(&bytes) != wanted {
            return Err(BundleError::Parts);
        }
        Self::decode(&bytes)
    }
}

/// Digests encoded files.
fn digest(bytes: &[u8]) -> PolicyDigest {
    let mut input = Vec::with_capacity(1 + bytes.len());
    input.push(POLICY_DOMAIN);
    input.extend_from_slice(bytes);
    PolicyDigest::from_bytes(*TreeHash::digest(&input).as_bytes())
}

/// Returns whether a text is a plain relative path.
fn is_path(path: &str) -> bool {
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\\');
    path.len() <= PATH_BYTES_MAX
        && !path.chars().any(char::is_control)
        && path.split('/').all(plain)
}
