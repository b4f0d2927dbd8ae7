//! The name of a log, and the place under which a server serves it.
//!
//! An origin is a URL without schema: the first segment is the host, the others are the path under
//! which the log's tiles are served, for example `log.example/audit/2026`. It is the first line of
//! every checkpoint and the name of the log's key.
//!
//! # Invariants
//!
//! - 1 to [`ORIGIN_BYTES_MAX`] bytes; segments of `[A-Za-z0-9._~-]`, none of them empty, `.` or `..`.
//! - The path doesn't begin with one of the server's own routes, so that no log hides another's
//!   tiles or the gRPC services. This refuses the few foreign logs that live under such a path.
//!   A route added to these lists would make logs unreadable that have its name: give such a route
//!   a name that no origin can have.

use core::fmt;
use std::sync::Arc;

/// Most bytes of an origin, and of a key name.
///
/// The cosignature format for ML-DSA gives names a length of 8 bits (c2sp.org/tlog-cosignature), so a
/// longer name could never be cosigned in that form.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// The routes of each log, below its prefix.
pub const LOG_ROUTES: [&str; 3] = ["checkpoint", "tile", "add"];

/// The routes of the server itself.
pub const SERVER_ROUTES: [&str; 3] = ["metrics", "healthz", "readyz"];

/// Beginnings of the gRPC services' paths.
pub const SERVICE_PREFIXES: [&str; 2] = ["attestree.v1.", "grpc."];

/// The unique name of a log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Arc<str>);

/// Why a text can't be the origin of a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The text is empty or too long.
    #[error("an origin has 1 to {ORIGIN_BYTES_MAX} bytes, this one has {bytes}")]
    Length {
        /// Length of the text.
        bytes: usize,
    },
    /// The text begins with a URL schema.
    #[error("leave out everything up to \"://\": an origin begins with the host name")]
    Schema,
    /// A character is not allowed.
    #[error(
        "{character:?} at byte {position} is not allowed: use letters, digits, '.', '_', '~', '-' and '/'"
    )]
    Character {
        /// Byte position in the text, from 0.
        position: usize,
        /// The character.
        character: char,
    },
    /// A segment is empty, `.` or `..`.
    #[error("segment {number} is empty, \".\" or \"..\": name it, or remove it with its slash")]
    Segment {
        /// Number of the segment, the host being 1.
        number: usize,
    },
    /// The path begins with a route of the server.
    #[error("the path begins with {segment:?}, which the server needs for itself: choose another")]
    Reserved {
        /// The first segment of the path.
        segment: String,
    },
}

impl Origin {
    /// Parses the text of an origin.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text.is_empty() || text.len() > ORIGIN_BYTES_MAX {
            return Err(OriginError::Length { bytes: text.len() });
        }
        if text.contains("://") {
            return Err(OriginError::Schema);
        }
        if let Some((position, character)) = text.char_indices().find(|&(_, c)| !is_allowed(c)) {
            return Err(OriginError::Character { position, character });
        }
        for (number, segment) in (1..).zip(text.split('/')) {
            if matches!(segment, "" | "." | "..") {
                return Err(OriginError::Segment { number });
            }
        }
        if let Some(segment) = text.split('/').nth(1).filter(|segment| is_reserved(segment)) {
            return Err(OriginError::Reserved { segment: segment.to_owned() });
        }
        Ok(Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path under which the log is served, without slashes at either end.
    ///
    /// Empty if the origin is a host alone.
    pub fn http_prefix(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, path)| path)
    }
}

/// Returns whether a new log can't be served beside an existing one of the same server.
///
/// The first log of a server is served at the root as well, so that no later log can have an empty
/// path. Of two others the paths must differ, and neither may lie among the resources of the other:
/// beside `a.example/log`, the path `log/tile/x` can't be told from a tile.
pub fn prefix_conflict(existing: &Origin, new: &Origin) -> bool {
    let (existing, new) = (existing.http_prefix(), new.http_prefix());
    new.is_empty()
        || existing == new
        || is_route_below(existing, new)
        || is_route_below(new, existing)
}

/// Returns whether `inner` begins with `outer` and then one of the routes that every log has.
fn is_route_below(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.split('/').next())
        .is_some_and(|segment| LOG_ROUTES.contains(&segment))
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '~' | '-' | '/')
}

/// Returns whether the first segment of a path is taken by the server.
fn is_reserved(segment: &str) -> bool {
    LOG_ROUTES.contains(&segment)
        || SERVER_ROUTES.contains(&segment)
        || SERVICE_PREFIXES.iter().any(|prefix| segment.starts_with(prefix))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
