//! Rules that a policy inherits: each policy of a chain has an engine, modules and data of its own, so that
//! nothing that a child says changes what the rules of its parent see or mean.

use super::{Role, Rules, record_name};
use crate::core::record::Path;

/// Why rules can't stand beside those of the policy that theirs extends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InheritError {
    /// Records would not tell the two packages apart.
    #[error("the package {package} is the parent's; rename yours")]
    Package {
        /// The package.
        package: String,
    },
    /// The rules of the parent would see what they did not.
    #[error("'needs' of {} would show it to the rules of the parent as well", path.as_str())]
    Needs {
        /// The committed value.
        path: Path,
    },
}

impl Rules {
    /// Puts the rules of a parent before these.
    pub fn inherit(mut self, parent: Self) -> Result<Self, InheritError> {
        for package in &self.packages {
            if parent.has_package(&record_name(&[&package.name])) {
                return Err(InheritError::Package { package: package.name.clone() });
            }
        }
        if let Some(path) = self.needs.iter().find(|path| !parent.needs.contains(path)) {
            return Err(InheritError::Needs { path: path.clone() });
        }
        self.needs.clone_from(&parent.needs);
        self.inherited = Some(Box::new(parent));
        Ok(self)
    }

    /// Returns the name of a rule of these that masks something, if there is one.
    pub fn mask(&self) -> Option<&str> {
        let mut entries = self.packages.iter().flat_map(|package| &package.entries);
        entries.find(|entry| entry.role == Role::Mask).map(|entry| entry.name.as_str())
    }

    /// Returns whether records show a name for one of the packages, or of those that are inherited.
    fn has_package(&self, name: &str) -> bool {
        self.packages.iter().any(|package| record_name(&[&package.name]) == name)
            || self.inherited.as_ref().is_some_and(|parent| parent.has_package(name))
    }
}
