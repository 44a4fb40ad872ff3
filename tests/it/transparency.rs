//! Two promises that make a first installation safe: in report mode not one byte differs from what passes with the gate
//! switched off, and enforce refuses exactly what report records.

mod decisions;
mod unchanged;
