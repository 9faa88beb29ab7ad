//! Any bytes sent to `/api/v1/read`: no panic.

use super::request::Request;

/// A request, from any bytes.
pub fn request(bytes: &[u8]) {
    if let Ok(request) = Request::read(bytes) {
        for query in &request.queries {
            // Whatever they are, they can be asked.
            let _ = query.matchers.iter().all(|m| m.matches("a"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::request;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            request(&bytes);
        }
    }
}
