//! Placeholder: the rules of `connect` land with their first user.
