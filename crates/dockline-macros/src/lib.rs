//! What makes a compile error of `params!` and `named!` of [Dockline](https://docs.rs/dockline) point at the element that is wrong.
//!
//! Whatever a macro by example calls is marked as a whole in the error. A procedural macro can say that its call stands where the element
//! does.

#![forbid(unsafe_code)]

use proc_macro::{Delimiter, Group, Punct, Spacing, Span, TokenStream, TokenTree};

/// Calls a method of an expression, where the expression stands: `call!(method expression)` is `(expression).method()`.
///
/// The expression has to come as one `expr` of a macro by example.
#[proc_macro]
pub fn call(input: TokenStream) -> TokenStream {
    let mut input = input.into_iter();
    let (Some(TokenTree::Ident(mut method)), Some(receiver)) = (input.next(), input.next()) else {
        return "::core::compile_error!(\"call! takes a method and an expression\")".parse().unwrap_or_default();
    };
    let here = first(&receiver);
    method.set_span(here);
    // Whoever reads the program is not to hear of parentheses that nobody wrote.
    let mut receiver = Group::new(Delimiter::Parenthesis, receiver.into());
    receiver.set_span(Span::mixed_site().located_at(here));
    let mut dot = Punct::new('.', Spacing::Alone);
    dot.set_span(here);
    let mut arguments = Group::new(Delimiter::Parenthesis, TokenStream::new());
    arguments.set_span(here);
    [TokenTree::Group(receiver), TokenTree::Punct(dot), TokenTree::Ident(method), TokenTree::Group(arguments)]
        .into_iter()
        .collect()
}

/// Where an expression begins. What a macro by example hands on is in a group that nobody sees.
fn first(tree: &TokenTree) -> Span {
    match tree {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            group.stream().into_iter().next().map_or_else(|| group.span(), |inner| first(&inner))
        }
        other => other.span(),
    }
}
