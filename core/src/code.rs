//! Placeholder: the rules of `code` land with their first user.
