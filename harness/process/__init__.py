"""The only room that forks, starts or kills processes."""
