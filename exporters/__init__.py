"""Where rows go: ClickHouse, or the terminal while debugging."""
