//! Placeholder: the rules of `testing` land with their first user.
