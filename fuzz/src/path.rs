//! Paths and links of files that the other side offers.
//!
//! Laws: a safe path has no component that leads elsewhere, is within its limits, and made safe again it is
//! the same. A link leads nowhere outside of the folder that its path begins with.

use peersox_core::transfer::{Link, Names, SafePath};

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let names = match input.byte() % 2 {
        0 => Names::Unix,
        _ => Names::Everywhere,
    };
    let Ok(text) = std::str::from_utf8(input.rest()) else {
        return;
    };
    // Components are separated by line breaks, as `/` is for the parser to judge.
    let (path, target) = text.split_once("\n\n").unwrap_or((text, ""));
    let components: Vec<_> = path.split('\n').collect();
    let Ok(path) = SafePath::on(names, &components) else {
        return;
    };
    assert!(path.as_str().len() <= SafePath::MAX_BYTES);
    let parts: Vec<_> = path.components().collect();
    assert!(parts.len() == components.len() && parts.len() <= SafePath::MAX_DEPTH);
    for part in &parts {
        assert!(!matches!(*part, "" | "." | "..") && !part.contains(['/', '\0']));
        assert!(part.len() <= SafePath::MAX_COMPONENT_BYTES);
        if names == Names::Everywhere {
            assert!(!part.contains(['\\', ':']) && !part.contains(char::is_control));
        }
    }
    assert_eq!(SafePath::on(names, &parts).as_ref(), Ok(&path));

    let Some(link) = Link::new(path.clone(), target, None) else {
        return;
    };
    let mut depth = parts.len() - 1;
    for step in link.target().split('/') {
        match step {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        assert!(depth > 0, "{path} leads out by {target:?}");
    }
}
