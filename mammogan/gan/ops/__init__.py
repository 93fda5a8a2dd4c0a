"""Operations of the networks with derivatives of their own."""
