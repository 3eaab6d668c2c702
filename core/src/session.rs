//! Placeholder: the rules of `session` land with their first user.
