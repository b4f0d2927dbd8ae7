//! Directory images as a power loss may leave them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    disk::Disk,
    node::{Change, Directory, Edit, File, Node},
    random::Random,
};

/// The unit that a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// What becomes of changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All are lost.
    Lost,
    /// All are there, as after a kill.
    Kept,
    /// Each is lost or kept for itself; writes are torn at sectors, and lengths may outrun bytes.
    /// Names of one directory are kept in order, up to some change: so do the file systems that
    /// are supported, and RocksDB relies on it when it renames `CURRENT`.
    Torn,
    /// Those up to some moment are kept and the later ones lost, over data and names alike.
    Ordered,
}

/// What becomes of data and of names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Bytes and lengths of files.
    pub(crate) data: Fate,
    /// Names in directories.
    pub(crate) names: Fate,
}

impl Style {
    /// What a kill leaves: everything.
    pub(crate) const KEPT: Self = Self { data: Fate::Kept, names: Fate::Kept };

    /// The styles, in the order in which a test goes round them.
    pub(crate) const ALL: [Self; 9] = [
        Self { data: Fate::Torn, names: Fate::Torn },
        Self { data: Fate::Lost, names: Fate::Lost },
        Self { data: Fate::Torn, names: Fate::Kept },
        Self { data: Fate::Ordered, names: Fate::Ordered },
        Self { data: Fate::Lost, names: Fate::Kept },
        Self { data: Fate::Torn, names: Fate::Torn },
        Self { data: Fate::Kept, names: Fate::Lost },
        Self { data: Fate::Kept, names: Fate::Torn },
        Self::KEPT,
    ];
}

/// The files and directories that are there after a power loss.
#[derive(Debug, Default)]
pub(crate) struct Image {
    directories: Vec<PathBuf>,
    files: BTreeMap<PathBuf, (u32, Vec<u8>)>,
}

/// The dice of one image.
struct Chance<'a> {
    style: Style,
    random: &'a mut Random,
    /// The last change that [`Fate::Ordered`] keeps.
    horizon: u64,
    /// What was decided of the changes of names, so that both parts of a rename fare alike.
    names: BTreeMap<u64, bool>,
}

impl Disk {
    /// Returns an image as the style and chance make it.
    pub(crate) fn image(&self, style: Style, random: &mut Random) -> Image {
        let horizon = random.below(self.changes + 1);
        let mut chance = Chance { style, random, horizon, names: BTreeMap::new() };
        let mut image = Image::default();
        self.copy(0, &mut PathBuf::new(), &mut chance, &mut image);
        image
    }

    /// Adds one node and what is below it to the image.
    fn copy(&self, node: usize, path: &mut PathBuf, chance: &mut Chance<'_>, image: &mut Image) {
        match &self.nodes[node] {
            Node::File(file) => {
                image.files.insert(path.clone(), (file.mode, chance.content(file)));
            }
            Node::Directory(directory) => {
                image.directories.push(path.clone());
                for (name, node) in chance.names(directory) {
                    path.push(&name);
                    self.copy(node, path, chance, image);
                    path.pop();
                }
            }
        }
    }
}

impl Chance<'_> {
    /// Returns the names that a directory has.
    fn names(&mut self, directory: &Directory) -> BTreeMap<std::ffi::OsString, usize> {
        let mut names = directory.durable.clone();
        let mut lost = false;
        for (number, naming) in &directory.pending {
            let kept = match self.style.names {
                Fate::Lost => false,
                Fate::Kept => true,
                Fate::Ordered => *number <= self.horizon,
                Fate::Torn => {
                    !lost && *self.names.entry(*number).or_insert_with(|| self.random.chance(70))
                }
            };
            lost |= !kept;
            if kept {
                naming.apply(&mut names);
            }
        }
        names
    }

    /// Returns the bytes that a file has.
    fn content(&mut self, file: &File) -> Vec<u8> {
        let mut bytes = file.durable.clone();
        if self.style.data == Fate::Torn {
            self.tear(&file.pending, &mut bytes);
            return bytes;
        }
        for change in &file.pending {
            let kept = match self.style.data {
                Fate::Kept => true,
                Fate::Ordered => change.number <= self.horizon,
                Fate::Lost | Fate::Torn => false,
            };
            if kept {
                change.edit.apply(&mut bytes);
            }
        }
        bytes
    }

    /// Applies some sectors of some changes.
    fn tear(&mut self, pending: &[Change], bytes: &mut Vec<u8>) {
        let percent = [10, 50, 90][self.random.position(3)];
        for change in pending {
            let Edit::Write { offset, data } = &change.edit else {
                if self.random.chance(50) {
                    change.edit.apply(bytes);
                }
                continue;
            };
            let mut from = 0;
            while from < data.len() {
                let sector = (offset + from as u64) / SECTOR_BYTES;
                let end = ((sector + 1) * SECTOR_BYTES - offset) as usize;
                let to = end.min(data.len());
                if self.random.chance(percent) {
                    let offset = offset + from as u64;
                    Edit::Write { offset, data: data[from..to].to_vec() }.apply(bytes);
                }
                from = to;
            }
            // The length may be on disk although the bytes are not.
            let end = *offset as usize + data.len();
            if bytes.len() < end && self.random.chance(30) {
                bytes.resize(end, 0);
            }
        }
    }
}

impl Image {
    /// Writes the image into an empty directory.
    pub(crate) fn write(&self, target: &Path) {
        for directory in &self.directories {
            fs::create_dir_all(target.join(directory)).unwrap();
        }
        for (path, (mode, bytes)) in &self.files {
            let path = target.join(path);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode & 0o755)).unwrap();
        }
    }

    /// Returns the bytes of a file, if it is there.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(Path::new(path)).map(|(_, bytes)| bytes.as_slice())
    }

    /// Panics unless a directory holds exactly the files of this image. Sockets do not count.
    pub(crate) fn assert_equals(&self, directory: &Path) {
        let mut there = BTreeSet::new();
        let mut waiting = vec![directory.to_owned()];
        while let Some(next) = waiting.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    waiting.push(entry.path());
                } else if kind.is_file() {
                    there.insert(entry.path().strip_prefix(directory).unwrap().to_owned());
                }
            }
        }
        let known: BTreeSet<PathBuf> = self.files.keys().cloned().collect();
        assert_eq!(known, there, "the recorder knows the files that are there");
        for (path, (_, bytes)) in &self.files {
            let actual = fs::read(directory.join(path)).unwrap();
            assert!(*bytes == actual, "the recorder knows every byte of {}", path.display());
        }
    }
}
