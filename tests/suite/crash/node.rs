//! Files and directories of a modelled disk: what is durable, and what came after.

use std::{collections::BTreeMap, ffi::OsString};

/// A file's bytes.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// What every image holds.
    pub(crate) durable: Vec<u8>,
    /// What came after, in the order of the calls.
    pub(crate) pending: Vec<Change>,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// One change of a file that is not durable.
#[derive(Debug)]
pub(crate) struct Change {
    /// Its place in the order of all changes of the disk.
    pub(crate) number: u64,
    /// Whether its call has returned. A sync that begins before does not cover it.
    pub(crate) done: bool,
    /// What it does.
    pub(crate) edit: Edit,
}

/// What one call does to a file's bytes.
#[derive(Debug)]
pub(crate) enum Edit {
    /// Puts bytes at an offset.
    Write { offset: u64, data: Vec<u8> },
    /// Cuts or extends the file, with zeros.
    Length(u64),
    /// Turns what there is of a range into zeros.
    Zero { offset: u64, length: u64 },
}

impl Edit {
    /// Does it.
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let (from, to) = (*offset as usize, *offset as usize + data.len());
                if bytes.len() < to {
                    bytes.resize(to, 0);
                }
                bytes[from..to].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length as usize, 0),
            Self::Zero { offset, length } => {
                let from = bytes.len().min(*offset as usize);
                let to = bytes.len().min((*offset + *length) as usize);
                bytes[from..to].fill(0);
            }
        }
    }
}

impl File {
    /// Returns the length that the process sees.
    pub(crate) fn length(&self) -> u64 {
        self.pending.iter().fold(self.durable.len() as u64, |length, change| match &change.edit {
            Edit::Write { offset, data } => length.max(offset + data.len() as u64),
            Edit::Length(length) => *length,
            Edit::Zero { .. } => length,
        })
    }

    /// Makes some changes durable.
    pub(crate) fn settle(&mut self, numbers: &[u64]) {
        let (covered, rest) =
            self.pending.drain(..).partition(|change| numbers.contains(&change.number));
        self.pending = rest;
        let covered: Vec<Change> = covered;
        covered.iter().for_each(|change| change.edit.apply(&mut self.durable));
    }
}

/// A directory's names.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// What every image holds.
    pub(crate) durable: BTreeMap<OsString, usize>,
    /// What came after, in order. The parts of one rename share a number.
    pub(crate) pending: Vec<(u64, Naming)>,
    /// What the process sees.
    pub(crate) live: BTreeMap<OsString, usize>,
}

/// One change of a directory.
#[derive(Clone, Debug)]
pub(crate) enum Naming {
    /// A name is given to a node.
    Put(OsString, usize),
    /// A name goes.
    Take(OsString),
}

impl Naming {
    /// Does it.
    pub(crate) fn apply(&self, names: &mut BTreeMap<OsString, usize>) {
        match self {
            Self::Put(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Take(name) => {
                names.remove(name);
            }
        }
    }
}

/// A file or a directory.
#[derive(Debug)]
pub(crate) enum Node {
    /// A file.
    File(File),
    /// A directory.
    Directory(Directory),
}
