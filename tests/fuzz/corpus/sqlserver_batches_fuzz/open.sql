a
'
GO