//! Placeholder: the rules of `transfer` land with their first user.
