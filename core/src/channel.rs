//! Placeholder: the rules of `channel` land with their first user.
