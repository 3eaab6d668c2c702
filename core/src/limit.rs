//! Placeholder: the rules of `limit` land with their first user.
