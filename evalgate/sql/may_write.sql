-- Inserts nothing; fails where the user may not write.
INSERT INTO annotations SELECT * FROM annotations WHERE false
