//! The whole policy: what is wanted and what is seen become steps.
