//! Symbolic links that stay within what is offered.
//!
//! A target may begin with `..`, as often as there are folders between the link and the folder that
//! the first component of its path names, and descends from there. So the part that leads upwards
//! goes through real folders only, and no chain of links leads out.

use peersox_proto::v1;

use super::{Names, OfferError, SafePath};
use crate::time::Timestamp;

/// A symbolic link of an offer. Nothing else of the offer has its path or lies below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    path: SafePath,
    target: Box<str>,
    modified: Option<Timestamp>,
}

impl Link {
    /// The most bytes of a target.
    pub const MAX_TARGET_BYTES: usize = 4_096;

    /// The link at `path`, which leads to `target` from the folder that it is in; none if it leads
    /// out of the folder that the first component of `path` names.
    #[must_use]
    pub fn new(path: SafePath, target: &str, modified: Option<Timestamp>) -> Option<Self> {
        let fits = !target.is_empty()
            && target.len() <= Self::MAX_TARGET_BYTES
            && !target.starts_with('/')
            && !target.contains('\0');
        if !fits {
            return None;
        }
        let up = steps(target).take_while(|step| *step == "..").count();
        let mut down = steps(target).skip(up);
        // The link itself and the folder of the offer do not count.
        let room = path.components().count().checked_sub(2)?;
        if up > room || down.any(|step| step == "..") {
            return None;
        }
        let target = target.into();
        Some(Self {
            path,
            target,
            modified,
        })
    }

    /// Where it belongs, below the receiver's directory; at least two components.
    #[must_use]
    pub const fn path(&self) -> &SafePath {
        &self.path
    }

    /// Where it leads.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// When it was last modified, if that is known.
    #[must_use]
    pub const fn modified(&self) -> Option<Timestamp> {
        self.modified
    }

    pub(super) fn parse(link: &v1::TransferLink, names: Names) -> Result<Self, OfferError> {
        let path = SafePath::on(names, &link.path)?;
        let modified = link.modified_millis.map(Timestamp::from_millis);
        Self::new(path.clone(), &link.target, modified).ok_or(OfferError::LinkOutside(path))
    }
}

/// The steps of a target that lead somewhere.
fn steps(target: &str) -> impl Iterator<Item = &str> {
    target.split('/').filter(|step| !matches!(*step, "" | "."))
}

impl From<&Link> for v1::TransferLink {
    fn from(link: &Link) -> Self {
        Self {
            path: link.path.components().map(str::to_owned).collect(),
            target: link.target.clone().into(),
            modified_millis: link.modified.map(Timestamp::as_millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_nowhere_outside() {
        for (path, target, inside) in [
            ("d/l", "a", true),
            ("d/l", "./a//b/", true),
            ("d/l", ".", true),
            ("d/e/l", "../a", true),
            ("d/e/l", "..", true),
            ("d/e/f/l", "../.././x", true),
            ("d/l", "..a", true),
            ("d/l", "", false),
            ("d/l", "/etc/passwd", false),
            ("d/l", "..", false),
            ("d/l", "../d/a", false),
            ("d/e/l", "../../x", false),
            ("d/l", "a\0b", false),
            // Through another link this could lead anywhere.
            ("d/e/l", "other/../x", false),
            ("d/e/l", "../other/..", false),
            // What was named is a file or a folder, never a link.
            ("l", "a", false),
        ] {
            let path = SafePath::new(&path.split('/').collect::<Vec<_>>()).unwrap();
            let link = Link::new(path.clone(), target, None);
            assert_eq!(link.is_some(), inside, "{path} -> {target:?}");
        }
        let long = "a".repeat(Link::MAX_TARGET_BYTES + 1);
        let path = SafePath::new(&["d", "l"]).unwrap();
        assert!(Link::new(path, &long, None).is_none());
    }
}
