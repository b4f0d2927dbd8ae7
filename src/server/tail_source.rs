//! A copy of a log's static files, on a web server or in a directory.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use crate::{
    client::{ClientError, TileClient},
    core::{entry::ENTRY_BYTES_MAX, tile::Resource, tree::TILE_WIDTH},
};

/// Most bytes of a bundle; a checkpoint is shorter.
const FILE_BYTES_MAX: usize = TILE_WIDTH * (2 + ENTRY_BYTES_MAX);

/// Where a log's static files are, by the paths of c2sp.org/tlog-tiles.
#[derive(Clone, Debug)]
pub enum TailSource {
    /// Below a log's prefix on a web server.
    Server(TileClient),
    /// Below a directory.
    Directory(PathBuf),
}

impl TailSource {
    /// Reads the checkpoint, if there is one.
    pub(super) async fn checkpoint(&self) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::Server(client) => match client.fetch(&Resource::Checkpoint).await {
                Ok(note) => Ok(Some(note)),
                Err(ClientError::Http { status: 404 | 410, .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Directory(directory) => {
                read_file(&directory.join(Resource::Checkpoint.to_string()))
            }
        }
    }

    /// Reads an entry bundle: of this width, or of a larger one where that has taken its place.
    pub(super) async fn read(&self, resource: Resource) -> anyhow::Result<Bytes> {
        match self {
            Self::Server(client) => Ok(client.fetch_or_full(&resource).await?),
            Self::Directory(directory) => {
                for candidate in candidates(directory, resource)? {
                    if let Some(bytes) = read_file(&directory.join(candidate.to_string()))? {
                        return Ok(bytes);
                    }
                }
                anyhow::bail!(
                    "{} has no {resource}, nor a wider one: the copy ends before what was signed",
                    directory.display()
                )
            }
        }
    }
}

/// Returns the files that hold what a bundle has to, the narrowest first.
fn candidates(directory: &Path, resource: Resource) -> anyhow::Result<Vec<Resource>> {
    let Resource::Entries { index, width } = resource else { return Ok(vec![resource]) };
    let full = u16::try_from(TILE_WIDTH).expect("a tile is 256 wide");
    let mut widths = vec![width];
    // `000.p/17`: the partial ones stand together in a directory.
    let partial = directory.join(Resource::Entries { index, width: 1 }.to_string());
    let partial = partial.parent().context("a partial bundle is in a directory")?;
    match fs::read_dir(partial) {
        Ok(names) => {
            for name in names {
                let name = name.with_context(|| format!("read {}", partial.display()))?.file_name();
                let wider = name.to_str().and_then(|name| name.parse().ok());
                widths.extend(wider.filter(|wider| (width..full).contains(wider)));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("read {}", partial.display())),
    }
    widths.push(full);
    widths.sort_unstable();
    widths.dedup();
    Ok(widths.into_iter().map(|width| Resource::Entries { index, width }).collect())
}

/// Reads a file, if it is there.
fn read_file(path: &Path) -> anyhow::Result<Option<Bytes>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(FILE_BYTES_MAX).expect("16 MiB fit in 64 bits");
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {}", path.display()))?;
    ensure!(bytes.len() <= FILE_BYTES_MAX, "{} is longer than any bundle", path.display());
    Ok(Some(bytes.into()))
}
