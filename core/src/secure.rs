//! Placeholder: the rules of `secure` land with their first user.
