"""One public verb per file: joins the rooms below and decides what is saved."""
