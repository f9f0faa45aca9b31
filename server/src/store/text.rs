//! Lets a word of the domain be a column: stored as its text, read back parsed.
//!
//! Way: `Phase` in a query -> `Text<Phase>` -> TEXT -> `Text<Phase>` -> `Phase`.

use std::{fmt::Display, str::FromStr};

use sea_orm::{
    ActiveValue, ColIdx, DbErr, IntoActiveValue, QueryResult, TryGetError, TryGetable, Value,
    sea_query::{ArrayType, ColumnType, Nullable, StringLen, ValueType, ValueTypeErr},
};

/// A word of the domain in a text column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<T>(pub T);

/// What can be such a word: one spelling, both ways.
pub trait Word: Display + FromStr<Err: Display> {}
impl<T: Display + FromStr<Err: Display>> Word for T {}

impl<T: Word> From<Text<T>> for Value {
    fn from(word: Text<T>) -> Self {
        word.0.to_string().into()
    }
}

impl<T: Word> TryGetable for Text<T> {
    fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
        let text = String::try_get_by(row, column)?;
        T::from_str(&text)
            .map(Self)
            .map_err(|cause| TryGetError::DbErr(DbErr::Type(cause.to_string())))
    }
}

impl<T: Word> ValueType for Text<T> {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        let text = <String as ValueType>::try_from(value)?;
        T::from_str(&text).map(Self).map_err(|_| ValueTypeErr)
    }
    fn type_name() -> String {
        std::any::type_name::<T>().to_owned()
    }
    fn array_type() -> ArrayType {
        ArrayType::String
    }
    fn column_type() -> ColumnType {
        ColumnType::String(StringLen::None)
    }
}

impl<T: Word> Nullable for Text<T> {
    fn null() -> Value {
        Value::String(None)
    }
}

impl<T: Word> IntoActiveValue<Text<T>> for Text<T> {
    fn into_active_value(self) -> ActiveValue<Text<T>> {
        ActiveValue::Set(self)
    }
}
