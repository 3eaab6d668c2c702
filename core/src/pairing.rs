//! Placeholder: the rules of `pairing` land with their first user.
