SELECT 'it''s'
GO 2 -- twice
/* /* */ */ [a]]b]
GO
"x"