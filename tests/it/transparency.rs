//! In report mode requests and answers are the same, byte for byte, as with the gate switched off; and enforce refuses exactly
//! the requests that report records.

mod decisions;
mod unchanged;
