//! The numbers of a log, each with a type of its own so that they can't be mixed up.

use core::fmt;

/// Number of leaves of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeSize(u64);

impl TreeSize {
    /// The size of the tree without leaves.
    pub const ZERO: Self = Self(0);

    /// The largest size that is ever read or made.
    ///
    /// 2^62 keeps every sum and shift of two positions inside a `u64`. At a million entries a
    /// second it is reached after 146,000 years.
    pub const MAX: Self = Self(1 << 62);

    /// Takes a number as a size if it is at most [`TreeSize::MAX`].
    pub const fn new(size: u64) -> Option<Self> {
        if size <= Self::MAX.0 { Some(Self(size)) } else { None }
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns whether a tree of this size holds the leaf.
    pub const fn contains(self, index: LeafIndex) -> bool {
        index.0 < self.0
    }

    /// Returns the index that the next appended leaf gets.
    pub const fn next_index(self) -> LeafIndex {
        LeafIndex(self.0)
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a leaf, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(u64);

impl LeafIndex {
    /// Takes a number as an index if some tree can hold it.
    pub const fn new(index: u64) -> Option<Self> {
        if index < TreeSize::MAX.0 { Some(Self(index)) } else { None }
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a log inside one server, in the order of creation from 0. Never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogNumber(pub u32);

impl fmt::Display for LogNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);
