//! What can go wrong with the key store.

use std::path::PathBuf;

use crate::{
    core::record::KeyId,
    store::{Damage, Fault, OpenError, RowName, StoreError},
};

use super::kek::KekError;

/// Why the key store did not do what was asked of it. No message holds a key or a name.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none. What was committed would silently become undisclosable.
    #[error(
        "there is no key store in {}: without it nothing that was committed can be disclosed. Put the directory \
         back from a copy made with `attestree backup --with-keys`; only if it is lost for good, make an empty \
         one with `attestree keys create`", .dir.display()
    )]
    Missing {
        /// Where it should be.
        dir: PathBuf,
    },
    /// It can't be opened or made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A read or a write failed. After a failed write no key is made any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another KEK wrapped the keys.
    #[error(
        "the keys in {} are wrapped under the key-encryption key {stored}, but the one given is {given}: name the \
         file of the right one with --kek", .dir.display()
    )]
    OtherKek {
        /// The key store.
        dir: PathBuf,
        /// Id of the KEK that wrapped the keys.
        stored: KeyId,
        /// Id of the KEK that was given.
        given: KeyId,
    },
    /// A row leads to another key than it says.
    #[error("a row of the key store {} leads to another key; restore a good copy of it", .dir.display())]
    Damaged {
        /// The key store.
        dir: PathBuf,
    },
    /// A key does not unwrap, or the KEK is out of reach.
    #[error("a key of the key store does not unwrap: {0}")]
    Kek(#[from] KekError),
    /// The keys of the epoch were destroyed.
    #[error(
        "the keys of token epoch {epoch} were destroyed, and none is made again for it; check the clock"
    )]
    EpochDestroyed {
        /// The epoch.
        epoch: u32,
    },
    /// What was deleted may still be in the files.
    #[error(
        "the keys are deleted, but the files in {} were not written anew: free some space there and run the verb \
         again", .dir.display()
    )]
    NotPurged {
        /// The key store.
        dir: PathBuf,
    },
}

impl KeyError {
    /// States that a row does not hold what it must.
    pub(super) fn damage(fault: Fault) -> Self {
        StoreError::from(Damage { row: RowName::Key, fault }).into()
    }
}
