use super::plan::plan as _;
